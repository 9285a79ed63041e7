"""Writes a stream of JSON lines: how many bikes are rented at a few stations, hour by hour."""

import json
import math
import random
import sys
from datetime import UTC, datetime, timedelta

STATIONS = {"harbour": 30.0, "market": 55.0, "park": 20.0, "station": 80.0}


def main(hours: int) -> None:
    rng = random.Random(1)  # noqa: S311  (a stream to try things on)
    for hour in range(hours):
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        warmth = 12 - 10 * math.cos(2 * math.pi * at.timetuple().tm_yday / 366) + rng.gauss(0, 3)
        rush = math.exp(-((at.hour - 8) ** 2) / 4) + math.exp(-((at.hour - 17) ** 2) / 6)
        for station, size in STATIONS.items():
            bikes = size * (0.2 + rush) * max(0.1, 1 + 0.04 * (warmth - 12)) * rng.uniform(0.8, 1.2)
            record = {"at": at.isoformat(), "station": station, "warmth": round(warmth, 1), "bikes": round(bikes)}
            print(json.dumps(record))


if __name__ == "__main__":
    main(int(sys.argv[1]))
