"""Reads the first records of a file of any format, for `learnd init`."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec

from learnd.daemon.errors import DataError, SourceError, not_utf8

_DELIMITERS = ",;\t|"
_MOST_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sniffed:
    """The first records of a file as mappings; the values of CSV are text."""

    format: str  # json, csv or parquet
    delimiter: str
    records: Sequence[Mapping[str, Any]]
    broken: int  # records among the first that could not be read


def sniff(path: Path, rows: int) -> Sniffed:
    """Read the first `rows` records. Raises SourceError if they cannot be read, DataError if there are none."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    try:
        if name.endswith((".parquet", ".pq")):
            found = Sniffed("parquet", ",", _parquet_rows(path, rows), 0)
        else:
            with _opened(path) as file:
                lines = _lines(file, path, rows + 1)
            found = _sniff_lines(lines, rows, is_csv=name.endswith((".csv", ".tsv", ".txt")))
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"{path}: cannot be read ({why}), so nothing was written; name a readable file") from error
    if not found.records:
        why = (
            f"none of its first records could be read as {found.format}" if found.broken else "there are no records yet"
        )
        raise DataError(f"{path}: {why}, so nothing was written; name a file with records")
    return found


def _opened(path: Path) -> IO[bytes] | gzip.GzipFile:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rb")
    if path.name.lower().endswith(".zst"):
        import zstandard

        return io.BufferedReader(_Zstandard(zstandard.open(path, "rb")))
    return path.open("rb")


class _Zstandard(io.RawIOBase):
    """Raises OSError for damaged data, as the other files do."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import zstandard

        try:
            data = self._file.read(len(buffer))
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _lines(file: IO[bytes] | gzip.GzipFile, path: Path, count: int) -> list[str | None]:
    """Return the first lines that are not empty, None for one that is not UTF-8. Raises DataError for the first."""
    lines: list[str | None] = []
    while len(lines) < count and (line := file.readline(_MOST_LINE_BYTES)):
        if line.strip():
            why = not_utf8(line)
            if why and not lines:
                raise DataError(f"{path}: its first line is {why}. Nothing was written.")
            lines.append(None if why else line.decode("utf-8-sig").rstrip("\r\n"))
    if not lines:
        raise DataError(f"{path}: the file is empty, so there is nothing to infer settings from; name one with records")
    return lines


def _sniff_lines(lines: list[str | None], rows: int, *, is_csv: bool) -> Sniffed:
    first = lines[0] or ""
    if not is_csv and first.lstrip().startswith(("{", "[")):
        objects = [record for line in lines[:rows] if isinstance(record := _json(line or ""), dict)]
        return Sniffed("json", ",", objects, min(rows, len(lines)) - len(objects))
    delimiter = max(_DELIMITERS, key=first.count)
    header, *table = _csv_rows(lines, delimiter)
    records = [dict(zip(header, row, strict=True)) for row in table if len(row) == len(header)]
    return Sniffed("csv", delimiter, records, len(table) - len(records))


def _json(line: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None


def _csv_rows(lines: list[str | None], delimiter: str) -> Iterator[list[str]]:
    for line in lines:
        try:
            yield [] if line is None else next(csv.reader([line], delimiter=delimiter))
        except csv.Error:
            yield []  # counts as broken: it has fewer cells than the header


def _parquet_rows(path: Path, rows: int) -> list[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=rows)
            return list(islice((row for batch in batches for row in batch.to_pylist()), rows))
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}), so nothing was written") from error
