"""Writes a stream of JSON lines in which some producer goes wrong: wrong labels in bursts, huge values, no numbers."""

import json
import random

RECORDS = 40_000


def main() -> None:
    rng = random.Random(1)  # noqa: S311  (a stream to try things on)
    burst = 0
    for _ in range(RECORDS):
        a, b, c = (rng.gauss(0, 1) for _ in range(3))
        label = int(a + b * c > 0)
        if burst == 0 and rng.random() < 0.0001:
            burst = 100
        if burst:
            burst -= 1
            label = 1 - label
        chance = rng.random()
        if chance < 0.0005:
            a = 10 ** rng.uniform(3, 30)
        elif chance < 0.001:
            b = float("nan")
        print(json.dumps({"a": a, "b": b, "c": c, "label": label}))


if __name__ == "__main__":
    main()
