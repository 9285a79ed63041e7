from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from source_streams.stream import CSV, JSON, RAW, N, Stream, csv_lines, json_lines, whole_files

from learnd.connectors.files.opening import files_source
from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.values import RecordFormat


def _files(path: Path, fmt: RecordFormat = JSON, *, follow: bool = False) -> Stream:
    def rename() -> None:
        for name in sorted(path.iterdir()) if path.is_dir() else sorted(path.parent.glob(path.name)):
            name.rename(name.with_name(".old-" + name.name))

    return Stream(lambda: files_source(FilesSettings(path=str(path), follow=follow), fmt), rename)


def plain(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(json_lines())
    return _files(root / "a.jsonl")


def blank_lines_and_no_last_feed(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(b"\n\r\n" + json_lines().replace(b"\n", b"\r\n\n\n").removesuffix(b"\r\n\n\n"))
    return _files(root / "a.jsonl")


def followed(root: Path) -> Stream:
    (root / "a.jsonl").write_bytes(json_lines())
    return _files(root / "a.jsonl", follow=True)


def gzipped(root: Path) -> Stream:
    members = [gzip.compress(json_lines(first, first + 1000)) for first in range(0, N, 1000)]
    (root / "a.jsonl.gz").write_bytes(b"".join(members) + bytes(512))
    return _files(root / "a.jsonl.gz")


def zstd(root: Path) -> Stream:
    data = json_lines()
    frames = [zstandard.ZstdCompressor().compress(part) for part in (data[:50_001], data[50_001:])]
    (root / "a.jsonl.zst").write_bytes(b"".join(frames))
    return _files(root / "a.jsonl.zst")


def csv(root: Path) -> Stream:
    (root / "a.csv").write_bytes(csv_lines())
    return _files(root / "a.csv", CSV)


def csv_gzipped(root: Path) -> Stream:
    (root / "a.csv.gz").write_bytes(gzip.compress(csv_lines()))
    return _files(root / "a.csv.gz", CSV)


def parquet(root: Path) -> Stream:
    table = pa.table({"id": range(N), "text": [str(i) for i in range(N)]})
    pq.write_table(table, root / "a.parquet", row_group_size=1100)
    return _files(root / "a.parquet", RecordFormat("parquet"))


def globbed(root: Path) -> Stream:
    for first in range(0, N, 500):
        (root / f"part-{first:05d}.jsonl").write_bytes(json_lines(first, first + 500))
    (root / "part-00001.jsonl").touch()
    return _files(root / "part-*.jsonl")


def directory(root: Path) -> Stream:
    (root / "in").mkdir()
    for first in range(0, N, 1000):
        (root / "in" / f"{first:05d}.jsonl").write_bytes(json_lines(first, first + 1000))
    (root / "in" / ".hidden").write_bytes(b"no record\n")
    return _files(root / "in")


def folders(root: Path) -> Stream:
    path = whole_files(root / "in")
    return Stream(lambda: files_source(FilesSettings(path=str(path)), RAW))
