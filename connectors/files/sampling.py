"""A sample of a file, from its head and from all its parts, for those who want to know what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from learnd.connectors.files.identity import Identity, ReplacedError
from learnd.connectors.files.partition import FilePartition
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, RecordBatch, RecordFormat, RecordSample

_MOST = 5_000  # records of a file that is read from its head alone
_HEAD = 1_000  # records, if there are blocks as well
_BLOCKS = 40
_BLOCK = 100  # records


def sample(path: str, fmt: RecordFormat, max_record_bytes: int) -> RecordSample:
    """Return records of one file: its head, and blocks at even distances if it can be read from anywhere.

    A block of text begins at the first line end, which may be within quotes: only its sound records count.
    Raises SourceError.
    """
    try:
        head, end, rest = _head(path, fmt, max_record_bytes)
        whole = sum(map(len, head)) < _MOST and not rest
        if whole or end is None:
            return _sample(head, [], whole=whole)
        starts = (end + rest * number // _BLOCKS for number in range(_BLOCKS))
        blocks = (_records(_file(path, fmt, max_record_bytes, start)) for start in starts)
        return _sample(head, [record for block in blocks for record in _sound(block)], whole=False)
    except ReplacedError as error:
        raise SourceError(f"{path} changed while it was read; try again") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); name a readable file") from error


def _file(path: str, fmt: RecordFormat, max_record_bytes: int, position: int = 0) -> FilePartition:
    return FilePartition(path, Identity.by_inode(Path(path).stat()), fmt, max_record_bytes, position)


def _head(path: str, fmt: RecordFormat, max_record_bytes: int) -> tuple[list[RecordBatch], int | None, int]:
    """Return the first batches, where blocks may begin (None: nowhere), and how much of the file comes after them."""
    file = _file(path, fmt, max_record_bytes)
    batches: list[RecordBatch] = []
    try:
        while sum(map(len, batches)) < _MOST and (batch := file.read(True, float("inf"), 0)) is not None:
            batches.append(batch)
        rest = file.unread()
    finally:
        file.close()
    if not batches or rest == 0 or not (file.is_plain or fmt.name == "parquet"):
        return batches, None, rest if batches else 0
    kept = [batch for number, batch in enumerate(batches) if sum(map(len, batches[:number])) < _HEAD]
    end = int(kept[-1].ends[-1])
    return kept, end, rest + file.position - end


def _records(file: FilePartition) -> Iterator[tuple[Any, Defect | None]]:
    try:
        while (batch := file.read(True, float("inf"), 0)) is not None:
            defects = batch.defects or {}
            yield from ((value, defects.get(index)) for index, value in enumerate(batch.values))
    finally:
        file.close()


def _sound(records: Iterator[tuple[Any, Defect | None]]) -> list[Any]:
    """Return the first records but the very first, of which only a part may have been read."""
    return [value for value, defect in islice(records, 1, 1 + _BLOCK) if defect is None]


def _sample(head: list[RecordBatch], spread: list[Any], *, whole: bool) -> RecordSample:
    values: list[Any] = []
    defects: dict[int, Defect] = {}
    for batch in head:
        defects |= {len(values) + index: defect for index, defect in (batch.defects or {}).items()}
        values += batch.values
    columns = head[0].columns if head else None
    return RecordSample(values, spread, columns, defects, whole=whole)
