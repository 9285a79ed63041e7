from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from source_streams.stream import CSV, JSON, RAW, N, Stream, csv_lines, json_lines, whole_files

from learnd.connectors.files.epochs import EpochsSource
from learnd.connectors.files.settings import EpochsSettings
from learnd.daemon.values import RecordFormat


def _once(path: Path, fmt: RecordFormat) -> Stream:
    return Stream(lambda: EpochsSource(EpochsSettings(path=str(path), epochs=1, shuffle=False), fmt))


def lines(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(json_lines(0, N // 3))
    (root / "b.jsonl").write_bytes(json_lines(N // 3))
    return _once(root, JSON)


def rows(root: Path) -> Stream:
    (root / "a.csv").write_bytes(csv_lines())
    return _once(root / "a.csv", CSV)


def parquet(root: Path) -> Stream:
    pq.write_table(pa.table({"id": range(N)}), root / "a.parquet", row_group_size=700)
    return _once(root / "a.parquet", RecordFormat("parquet"))


def folders(root: Path) -> Stream:
    return _once(whole_files(root / "in"), RAW)
