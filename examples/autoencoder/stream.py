"""Writes a stream of JSON lines: eight sensors of a machine, which go together. Now and then one of them is off."""

import json
import random
import sys

SENSORS = 8


def main(count: int) -> None:
    rng = random.Random(3)  # noqa: S311  (a stream to try things on)
    parts = [[rng.gauss(0, 1) for _ in range(SENSORS)] for _ in range(2)]
    for _ in range(count):
        load, heat = rng.gauss(0, 1), rng.gauss(0, 1)
        sensors = [load * of_load + heat * of_heat + rng.gauss(0, 0.1) for of_load, of_heat in zip(*parts, strict=True)]
        odd = rng.random() < 0.02
        if odd:
            sensors[rng.randrange(SENSORS)] += rng.choice([-3, 3])
        print(json.dumps({"sensors": [round(value, 3) for value in sensors], "odd": odd}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
