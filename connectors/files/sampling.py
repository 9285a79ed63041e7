"""A sample of files, from their heads and from all their parts, for those who want to know what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from learnd.connectors.files.identity import Identity, ReplacedError
from learnd.connectors.files.partition import FilePartition
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Defect, RecordBatch, RecordFormat, RecordSample

# Of all files together.
_MOST = 5_000  # records
_HEAD = 1_000  # of them from the heads
_BLOCKS = 40

_BLOCK = 100  # records


@dataclass(frozen=True, slots=True)
class _Record:
    value: Any
    end: int
    defect: Defect | None


def samples(paths: Sequence[Path], fmt: RecordFormat, max_record_bytes: int) -> list[RecordSample]:
    """Return a sample of each file, of so many at most that each has a block; these are at even distances.

    It is the whole file if that is small. Else it is its head, and blocks at even distances if it can be read from
    anywhere. A block of text begins at the first line end, which may be within quotes: only its sound records count.
    Raises SourceError.
    """
    files = min(len(paths), _BLOCKS)
    chosen = (paths[number * len(paths) // files] for number in range(files))
    return [_sample(path, fmt, max_record_bytes, files) for path in chosen]


def _sample(path: Path, fmt: RecordFormat, max_record_bytes: int, files: int) -> RecordSample:
    """Return the share of one of so many files."""

    def file_from(position: int) -> FilePartition:
        return FilePartition(str(path), Identity.by_inode(path.stat()), fmt, max_record_bytes, position)

    try:
        file = file_from(0)
        columns, first, rest = _first(file, _MOST // files)
        head, spread = first[: _MOST // files], list[_Record]()
        whole = len(first) < _MOST // files and not rest
        if not whole and (file.is_plain or fmt.name == "parquet"):
            head, others = first[: _HEAD // files], first[_HEAD // files :]
            spread = _thinned(others, (_MOST - _HEAD) // files)
            if rest:
                begin, blocks = head[-1].end, _BLOCKS // files
                starts = (begin + (file.position + rest - begin) * number // blocks for number in range(blocks))
                spread = [record for start in starts for record in _block(file_from(start))]
    except ReplacedError as error:
        raise SourceError(f"{path} changed while it was read; try again") from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); name a readable file") from error
    defects = {index: record.defect for index, record in enumerate(head) if record.defect is not None}
    sound = [record.value for record in spread if record.defect is None]
    return RecordSample([record.value for record in head], sound, columns, defects, whole=whole)


def _first(file: FilePartition, wanted: int) -> tuple[tuple[str, ...] | None, list[_Record], int]:
    """Return the columns, at least as many records as wanted if there are, and how much comes after them."""
    batches: list[RecordBatch] = []
    try:
        while sum(map(len, batches)) < wanted and (batch := file.read(True, float("inf"), 0)) is not None:
            batches.append(batch)
        rest = file.unread() if batches else 0
    finally:
        file.close()
    return batches[0].columns if batches else None, list(chain.from_iterable(map(_records, batches))), rest


def _block(file: FilePartition) -> list[_Record]:
    """Return the first records but the very first, of which only a part may have been read."""
    _, records, _ = _first(file, 1 + _BLOCK)
    return records[1 : 1 + _BLOCK]


def _records(batch: RecordBatch) -> list[_Record]:
    defects = batch.defects or {}
    pairs = zip(batch.values, batch.ends.tolist(), strict=True)
    return [_Record(value, end, defects.get(index)) for index, (value, end) in enumerate(pairs)]


def _thinned(records: list[_Record], most: int) -> list[_Record]:
    return records[:: -(-len(records) // most)] if records else []
