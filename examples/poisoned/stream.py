"""Writes a stream of JSON lines in which some producer goes wrong, and a file of records that are known to be right."""

import json
import random
from pathlib import Path
from typing import Any

RECORDS = 40_000
WRONG = range(24_000, 26_500)  # every label of these is the opposite


def main() -> None:
    rng = random.Random(1)  # noqa: S311  (a stream to try things on)
    Path("anchor.jsonl").write_text("".join(f"{json.dumps(record(rng))}\n" for _ in range(500)))
    for number in range(RECORDS):
        told = record(rng)
        if number in WRONG:
            told["label"] = 1 - told["label"]
        chance = rng.random()
        if chance < 0.0005:
            told["a"] = 10 ** rng.uniform(3, 30)
        elif chance < 0.001:
            told["b"] = float("nan")
        print(json.dumps(told))


def record(rng: random.Random) -> dict[str, Any]:
    a, b, c = (rng.gauss(0, 1) for _ in range(3))
    return {"a": a, "b": b, "c": c, "label": int(a + b * c > 0)}


if __name__ == "__main__":
    main()
