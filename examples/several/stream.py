"""Writes a stream of JSON lines: fruit on a scale, each with a picture of 8 x 8, its kind and its weight."""

import json
import random
import sys

KINDS = ["apple", "banana", "cherry"]


def picture(kind: str, size: int, rng: random.Random) -> list[float]:
    """Return the shades of a disc, of a bar or of a dot, row by row."""
    reach = {"apple": (size, size), "banana": (1, size), "cherry": (1, 1)}[kind]
    x, y = rng.randrange(2, 6), rng.randrange(2, 6)
    inside = [[abs(row - y) <= reach[0] and abs(column - x) <= reach[1] for column in range(8)] for row in range(8)]
    return [round(min(1, max(0, 0.8 * shade + rng.gauss(0.1, 0.05))), 3) for row in inside for shade in row]


def main(count: int) -> None:
    rng = random.Random(2)  # noqa: S311  (a stream to try things on)
    for _ in range(count):
        kind, size = rng.choice(KINDS), rng.choice([2, 3])
        warm, dry = rng.gauss(0, 1), rng.gauss(0, 1)
        grams = {"apple": 0.6 * size, "banana": 0.4 * size, "cherry": 0.1}[kind] * (1 + 0.1 * warm - 0.1 * dry)
        record = {"pixels": picture(kind, size, rng), "warm": round(warm, 2), "dry": round(dry, 2)}
        print(json.dumps({**record, "fruit": kind, "grams": round(grams, 3)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
