"""Writes a stream of JSON lines: orders, and which of them come back. What makes them do so changes twice, at once."""

import json
import random

RECORDS, EVERY = 30_000, 10_000


def main() -> None:
    rng = random.Random(1)  # noqa: S311  (a stream to try things on)
    for number in range(RECORDS):
        price, days, items = rng.uniform(0, 100), rng.uniform(0, 14), rng.randrange(1, 9)
        comes_back = (
            price + 5 * days > 90,  # expensive and late
            price - 5 * days > 20,  # then a rule for quick deliveries
            items * 10 + days > 60,  # then the number of items alone, nearly
        )[number // EVERY]
        record = {"price": round(price, 2), "days": round(days, 2), "items": items, "returned": int(comes_back)}
        print(json.dumps(record))


if __name__ == "__main__":
    main()
