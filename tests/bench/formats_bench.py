"""The whole daemon at B = 32, where decoding counts for as much as training: JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bare import data
from report import Row, ratio_row, ratios

from learnd.daemon.config.settings import Settings
from learnd.daemon.run import Options, run

ROWS, FEATURES, TURNS = 1_000_000, 8, 5
NUMBERS, CATEGORIES = 25, (10, 100, 1_000, 10_000, 50_000)  # of the last, how many values


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numbers = {f"x{index}": "float" for index in range(FEATURES)}
        mixed = {f"x{index}": "float" for index in range(NUMBERS)}
        mixed |= {f"c{index}": {"hash": 1000} for index in range(len(CATEGORIES))}
        lines, columns = _json_and_parquet(folder)

        def from_lines() -> float:
            return speed(folder, lines, "json", numbers)

        what = "the daemon with the default preset, B = 32"
        return [
            _row(f"{what}, JSON lines of 8 features", "≥ 1,000,000 samples/s", from_lines),
            _row(
                f"{what}, CSV of 30 features, 5 of them hashed", "", lambda: speed(folder, _csv(folder), "csv", mixed)
            ),
            ratio_row(
                f"{what}, Parquet of 8 features, against JSON lines of the same samples",
                "≥ 2 ×",
                ratios(lambda: speed(folder, columns, "parquet", numbers), from_lines, TURNS),
            ),
        ]


def speed(folder: Path, path: Path, form: str, features: dict[str, Any]) -> float:
    """Return samples/s from the first record read to the last checkpoint written."""
    settings = {
        "source": {"files": {"path": str(path)}},
        "samples": {"format": form, "features": features, "label": "y"},
        "train": {"batch_size": 32},
        "checkpoint": {"dir": f"{tempfile.mkdtemp(dir=folder)}/state"},
    }
    return run(Settings.model_validate(settings), lambda: False, Options(http=False, display=False)).samples_per_second


def _row(what: str, target: str, measure: Callable[[], float]) -> Row:
    measure()  # compiles
    found = [measure() for _ in range(TURNS)]
    spread = f"{min(found):,.0f} to {max(found):,.0f}"
    return Row(what, target, f"{statistics.median(found):,.0f} samples/s ({spread})", f"{ROWS:,} records")


def _json_and_parquet(folder: Path) -> tuple[Path, Path]:
    """Write the same samples twice."""
    x, y = data(ROWS, FEATURES)
    columns = {f"x{index}": x[:, index].round(6).astype(float) for index in range(FEATURES)}
    table = pa.table({**columns, "y": y[:, 0].astype(int)})
    lines, parquet = folder / "stream.jsonl", folder / "stream.parquet"
    with lines.open("w") as file:
        file.writelines(json.dumps(record) + "\n" for record in table.to_pylist())
    pq.write_table(table, parquet)
    return lines, parquet


def _csv(folder: Path) -> Path:
    path = folder / "stream.csv"
    if path.exists():
        return path
    x, y = data(ROWS, NUMBERS)
    random = np.random.default_rng(0)
    categories = [random.integers(0, count, ROWS) for count in CATEGORIES]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"x{index}" for index in range(NUMBERS)), *(f"c{i}" for i in range(len(CATEGORIES))), "y"])
        for row, *values, label in zip(x.round(6).tolist(), *categories, y[:, 0].astype(int).tolist(), strict=True):
            writer.writerow([*row, *(f"v{value}" for value in values), label])
    return path
