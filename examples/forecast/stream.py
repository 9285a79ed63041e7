"""Writes a stream of JSON lines: two numbers an hour, the last 24 hours of them, and the 6 that come."""

import json
import math
import random
import sys

PAST, AHEAD = 24, 6


def main(count: int) -> None:
    rng = random.Random(4)  # noqa: S311  (a stream to try things on)
    level, hours = 0.0, []
    for hour in range(count + PAST + AHEAD):
        level = 0.98 * level + rng.gauss(0, 0.05)
        day = 2 * math.pi * hour / 24
        hours.append([round(level + math.sin(day), 3), round(0.5 * math.cos(day) - level + rng.gauss(0, 0.05), 3)])
    for start in range(count):
        now = start + PAST
        past = [value for hour in hours[start:now] for value in hour]
        print(json.dumps({"past": past, "next": hours[now : now + AHEAD]}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
