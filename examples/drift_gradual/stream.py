"""Writes a stream of JSON lines: readings of a machine, and whether it fails, by a rule that another slowly ousts."""

import json
import random

RECORDS, FIRST, LAST = 40_000, 15_000, 30_000  # the new rule begins here, and has replaced the old one there


def main() -> None:
    rng = random.Random(1)  # noqa: S311  (a stream to try things on)
    for number in range(RECORDS):
        new = rng.random() < (number - FIRST) / (LAST - FIRST)
        heat, load, age = rng.gauss(60, 10), rng.uniform(0, 1), rng.uniform(0, 10)
        heat += 5 * new
        fails = load + age / 10 > 1.1 if new else heat / 60 + load > 1.6
        print(json.dumps({"heat": round(heat, 1), "load": round(load, 3), "age": round(age, 2), "fails": int(fails)}))


if __name__ == "__main__":
    main()
