"""Writes hourly readings of sensors: each has a day of its own, and a level that wanders. See README.md."""

import json
import math
import random
import sys

SENSORS, HOURS = 20, 24


def main() -> None:
    """Print the given number of readings."""
    rng = random.Random(3)  # noqa: S311  (a stream to try things on)
    level = [rng.uniform(10, 20) for _ in range(SENSORS)]
    swing = [rng.uniform(1, 4) for _ in range(SENSORS)]
    phase = [rng.uniform(0, HOURS) for _ in range(SENSORS)]
    for number in range(int(sys.argv[1])):
        hour, sensor = divmod(number, SENSORS)
        level[sensor] += rng.gauss(0, 0.2)
        day = swing[sensor] * math.sin(2 * math.pi * (hour + phase[sensor]) / HOURS)
        print(json.dumps({"sensor": f"s{sensor}", "hour": hour, "value": round(level[sensor] + day, 3)}))


if __name__ == "__main__":
    main()
