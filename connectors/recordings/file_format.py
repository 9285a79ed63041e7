"""The file format of recordings: a range of topics as JSON lines (plain or Zstandard) or Parquet, for a replay.

The first line, or the metadata of the Parquet schema, says that the file is a recording, of which topics, and which
offsets it covers. Until a recording is whole its file has another name.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby, repeat
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.daemon.values import Positions

FORMATS = (".jsonl", ".jsonl.zst", ".parquet")
_KEY = "learnd_recording"
_BEGINNING = b'{"learnd_recording":'
_ROWS = 10_000  # written together
_ROWS_BYTES = 16 << 20  # written together
_AT_ONCE = 1000  # rows, read together
_AT_ONCE_BYTES = 1 << 20  # of lines, read together


class RecordingHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording covers: every record of each partition from its start up to its end."""

    learnd_recording: Literal[1] = 1  # the version of the format; comes first, so that it tells the kind of file
    topics: dict[str, str]  # and their ids
    starts: Positions
    ends: Positions


class _Named(msgspec.Struct, omit_defaults=True):
    name: str
    value: str | None = None
    value_base64: str | None = None


class _Row(msgspec.Struct, omit_defaults=True):
    """A line. Bytes that are not UTF-8 are in Base64. If both fields are missing, the key or value is null."""

    partition: str
    offset: int
    timestamp_ms: int = -1
    key: str | None = None
    key_base64: str | None = None
    headers: list[_Named] = []  # msgspec copies it
    value: str | None = None
    value_base64: str | None = None


# A record: partition, offset, timestamp in ms, key, headers, value.
_Record: TypeAlias = tuple[str, int, int, bytes | None, Sequence[tuple[str, bytes]], bytes | None]


class RecordingWriter(Protocol):
    def write(self, fetched: Fetched) -> None: ...

    def close(self) -> None: ...


_SCHEMA = pa.schema(
    {
        "partition": pa.dictionary(pa.int32(), pa.string()),
        "offset": pa.int64(),
        "timestamp_ms": pa.int64(),
        "key": pa.binary(),
        "headers": pa.list_(pa.struct({"name": pa.string(), "value": pa.binary()})),
        "value": pa.binary(),
    }
)


def open_writer(path: Path, form: str, header: RecordingHeader) -> RecordingWriter:
    """Return a writer of a recording in one of `FORMATS` to `path`. Raises OSError."""
    return (
        RecordingParquetWriter(path, header)
        if form == ".parquet"
        else JsonLinesWriter(path, header, packed=form == ".jsonl.zst")
    )


class JsonLinesWriter:
    """A JSON object a line."""

    def __init__(self, path: Path, header: RecordingHeader, *, packed: bool) -> None:
        self._raw = path.open("wb")
        self._file: Any = zstandard.ZstdCompressor(level=3).stream_writer(self._raw) if packed else self._raw
        self._encode = msgspec.json.Encoder().encode
        self._file.write(self._encode(header) + b"\n")

    def write(self, fetched: Fetched) -> None:
        """Write records. Raises OSError."""
        for record in _records(fetched):
            self._file.write(self._encode(_row(*record)) + b"\n")

    def close(self) -> None:
        """Raises OSError."""
        with self._raw:
            self._file.close()


class RecordingParquetWriter:
    """A row a record."""

    def __init__(self, path: Path, header: RecordingHeader) -> None:
        schema = _SCHEMA.with_metadata({_KEY: msgspec.json.encode(header)})
        self._file = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write(self, fetched: Fetched) -> None:
        """Write records. Raises OSError."""
        for *place, key, headers, value in _records(fetched):
            named = [{"name": name, "value": text} for name, text in headers]
            self._rows.append(dict(zip(_SCHEMA.names, (*place, key, named, value), strict=True)))
            self._bytes += len(key or b"") + len(value or b"")
            if len(self._rows) >= _ROWS or self._bytes >= _ROWS_BYTES:
                self._flush()

    def close(self) -> None:
        """Raises OSError."""
        with _as_os_errors(), self._file:
            self._flush()

    def _flush(self) -> None:
        with _as_os_errors():
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()
        self._bytes = 0


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turn what Arrow raises when a file cannot be written into OSError."""
    try:
        yield
    except pa.ArrowException as error:
        raise OSError(str(error)) from error


def read_header(path: Path) -> RecordingHeader | None:
    """Return what a recording covers; None if the file is no recording, or cannot be read."""
    try:
        if path.suffix == ".parquet":
            text = (pq.read_schema(path).metadata or {}).get(_KEY.encode(), b"")
        else:
            with _opened(path) as file:
                text = file.read(len(_BEGINNING))
                text += file.readline() if text == _BEGINNING else b""
        return msgspec.json.decode(text, type=RecordingHeader)
    except (OSError, ValueError, zstandard.ZstdError, pa.ArrowException):
        return None


def is_recording(path: Path) -> bool:
    """Whether a file is a recording, and not just a file of records."""
    return read_header(path) is not None


def read_recording(path: Path) -> Iterator[Fetched]:
    """Yield the records in order, some at a time. Raises OSError or ValueError if the file is damaged."""
    try:
        for some in _parquet_records(path) if path.suffix == ".parquet" else _line_records(path):
            for _, of_partition in groupby(some, key=lambda record: record[0]):
                yield _fetched(list(of_partition))
    except (zstandard.ZstdError, pa.ArrowException) as error:
        raise ValueError(str(error)) from error


def _line_records(path: Path) -> Iterator[list[_Record]]:
    decode = msgspec.json.Decoder(_Row).decode
    with _opened(path) as file:
        file.readline()
        while lines := file.readlines(_AT_ONCE_BYTES):
            for first in range(0, len(lines), _AT_ONCE):
                yield [_of_row(decode(line)) for line in lines[first : first + _AT_ONCE]]


def _parquet_records(path: Path) -> Iterator[list[_Record]]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):  # each was written in bounds, so it fits into memory
            for batch in file.iter_batches(_AT_ONCE, row_groups=[group]):
                columns = batch.to_pydict()
                columns["headers"] = [
                    [(one["name"], one["value"]) for one in named or ()] for named in columns["headers"]
                ]
                yield list(zip(*(columns[name] for name in _SCHEMA.names), strict=True))


def _opened(path: Path) -> io.BufferedReader:
    raw: Any = path.open("rb")
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
    return io.BufferedReader(raw, 1 << 20)


def _records(fetched: Fetched) -> Iterator[_Record]:
    offsets, timestamps_ms = fetched.offsets.tolist(), fetched.timestamps_ms.tolist()
    headers: Iterable[Any] = fetched.headers or [()] * len(offsets)
    return zip(repeat(fetched.partition), offsets, timestamps_ms, fetched.keys, headers, fetched.values, strict=False)


def _fetched(records: list[_Record]) -> Fetched:
    partitions, offsets, timestamps_ms, keys, headers, values = map(list, zip(*records, strict=True))
    return Fetched(
        partitions[0],
        np.array(offsets, np.int64),
        values,
        keys,
        headers if any(headers) else None,
        np.array(timestamps_ms, np.int64),
    )


def _row(
    partition: str, offset: int, timestamp_ms: int, key: bytes | None, headers: Iterable[Any], value: bytes | None
) -> _Row:
    named = [_Named(name, *_texts(text)) for name, text in headers]
    return _Row(partition, offset, timestamp_ms, *_texts(key), named, *_texts(value))


def _of_row(row: _Row) -> _Record:
    headers = [(named.name, _bytes(named.value, named.value_base64) or b"") for named in row.headers]
    key, value = _bytes(row.key, row.key_base64), _bytes(row.value, row.value_base64)
    return row.partition, row.offset, row.timestamp_ms, key, headers, value


def _texts(value: bytes | None) -> tuple[str | None, str | None]:
    """Return a value as text, or in Base64 if it is not UTF-8."""
    if value is None:
        return None, None
    try:
        return value.decode(), None
    except UnicodeDecodeError:
        return None, base64.b64encode(value).decode()


def _bytes(text: str | None, in_base64: str | None) -> bytes | None:
    if text is not None:
        return text.encode()
    return None if in_base64 is None else base64.b64decode(in_base64)
