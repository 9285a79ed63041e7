"""Records as a source reads them, and what happens to each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Float32, Float64, Int64, Note
from learnd.daemon.values.samples import Samples
from learnd.daemon.values.state import State

T = TypeVar("T")

EPOCHS = "epochs"
"""The partition, and the key of the note, of a source that gives its records several times over."""

RAW, CONTENT, FOLDER = "raw", "content", "folder"
"""The format of records that are one value as it is, and the fields of such a record."""

SOURCE_REASONS = ("bad_encoding", "corrupt", "lost", "oversized", "tombstone", "truncated", "unknown_schema")
"""The reasons of defects that sources find."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a record cannot be a sample. `reason` labels a metric, so it is one of a small, fixed set of words."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, at least one, in order, as the source read them.

    `values` holds bytes, or mappings if the format is columnar (Parquet). `defects` names, by index, records that the
    source already knows to be broken (a line over the limit, a truncated archive); their value is as much as could be
    read. `note` is a fact about the outside world that the source needs to find these records again (see
    `contracts.Source`).
    """

    partition: str
    start: int  # the position of the first record
    ends: Int64  # (n,) the position after each record; strictly increasing, all > start
    values: Sequence[bytes] | Sequence[Mapping[str, Any]]  # n of them
    columns: tuple[str, ...] | None = None  # the names of the fields of a CSV row, or of a Parquet file
    schemas: Mapping[int, tuple[str, ...]] | None = None  # Avro: by number, those it refers to, then itself
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Sequence[tuple[str, bytes]]] | None = None
    timestamps_s: Float64 | None = None  # (n,) seconds since 1970
    defects: Mapping[int, Defect] | None = None
    lines: Sequence[int] | None = None  # n of them: how many lines of a file each takes; None: one each, or no file
    places: Int64 | None = None  # (n,) of records that come several times over: which ones of them all these are
    again: bool = False  # whether all of these came before
    note: Note | None = None
    kept_bytes: int | None = None  # of a value that is rejected, since its key says where all of it is; None: all

    def __len__(self) -> int:
        return len(self.values)

    @property
    def begins_again(self) -> bool:
        """Whether it has the first of records that come several times over, each time in the same order."""
        return self.places is not None and int(self.places[0]) == 0

    def parts(self, most: int) -> Iterator[RecordBatch]:
        """Yield the same records as batches of at most so many."""
        if len(self) <= most:
            yield self
            return
        for first in range(0, len(self), most):
            yield self._part(slice(first, min(first + most, len(self))))

    def _part(self, of: slice) -> RecordBatch:
        defects = {row - of.start: found for row, found in (self.defects or {}).items() if of.start <= row < of.stop}
        return replace(
            self,
            start=self.start if of.start == 0 else int(self.ends[of.start - 1]),
            ends=self.ends[of],
            values=self.values[of],
            keys=_some(self.keys, of),
            headers=_some(self.headers, of),
            timestamps_s=None if self.timestamps_s is None else self.timestamps_s[of],
            defects=defects or None,
            lines=_some(self.lines, of),
            places=None if self.places is None else self.places[of],
            note=self.note if of.start == 0 else None,
        )


def _some(values: Sequence[T] | None, of: slice) -> Sequence[T] | None:
    return None if values is None else values[of]


@dataclass(frozen=True, slots=True)
class RecordSample:
    """Records of one file, to tell what it holds: the first ones, and sound ones from all its parts."""

    head: Sequence[bytes] | Sequence[Mapping[str, Any]]
    spread: Sequence[bytes] | Sequence[Mapping[str, Any]]
    columns: tuple[str, ...] | None
    defects: Mapping[int, Defect]  # of the head
    whole: bool  # whether the head is all that the file holds


class Fate(IntEnum):
    """What happens to a record."""

    TRAIN = 0
    HOLD_OUT = 1
    REJECT = 2
    LEAVE_OUT = 3  # held out before, by a source that gives records several times over; or no window is known for it


@dataclass(frozen=True, slots=True)
class Rejection:
    """A dead letter: a record that was not trained, with the reason and its position."""

    partition: str
    start: int
    end: int
    defect: Defect
    value: bytes
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_s: float | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What the decoding of a record depends on beside the record: what came before it."""

    classes: Sequence[str] = ()  # that were learnt, in the order in which they came
    recent: State | None = None  # the latest records of each key; None unless samples are windows


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """Records that windows are made of, in the order of the stream."""

    keys: Sequence[bytes]
    rows: Float32  # (n, columns)
    records: Int64  # (n,) their numbers in a block
    anew: bool = False  # whether all records come once more from here on, so that none before is in their windows

    def among(self, first: int, until: int) -> KeyedRows:
        """Return those of the records from number `first` up to, but not including, `until`."""
        part = slice(*np.searchsorted(self.records, (first, until)).tolist())
        return KeyedRows(self.keys[part], self.rows[part], self.records[part], self.anew and first == 0)


@dataclass(frozen=True, slots=True)
class Block:
    """The records of one `RecordBatch`, decoded and checked. `samples` holds the m that train or are held out."""

    partition: str
    start: int
    ends: Int64  # (n,)
    fates: NDArray[np.uint8]  # (n,) of Fate
    samples: Samples
    event_time_s: Float64 | None  # (m,) seconds since 1970
    rejections: tuple[Rejection, ...] = ()
    note: Note | None = None
    keys: Sequence[bytes | None] | None = None  # n of them, as the source gave them
    lines: Sequence[int] | None = None  # n of them: as in the `RecordBatch`
    new_classes: tuple[tuple[int, str], ...] = ()  # that came with a sample: the number of its record in the block
    keyed: KeyedRows | None = None  # what later windows are made of; None unless samples are windows

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def sampled(self) -> NDArray[np.bool_]:
        """Whether each record (n,) is one of the samples."""
        return self.fates < Fate.REJECT


@dataclass(frozen=True, slots=True)
class Span:
    """The records of `partition` from position `start` up to, but not including, `end`."""

    partition: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where n samples of one partition come from, in order."""

    partition: str
    starts: Int64  # (n,) the position of each sample's record
    ends: Int64  # (n,) the position after it
    keys: Sequence[bytes | None] | None  # n of them


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How a stream of bytes is cut into records."""

    name: str  # json, csv, parquet, avro, tf_example or raw
    delimiter: str = ","  # of CSV
    quoted: bool = True  # whether quotes hold the cells of CSV together
    columns: tuple[str, ...] | None = None  # of CSV without a header
    schema: bool = False  # whether the settings name a schema for it
    fields: frozenset[str] | None = None  # the columns of a columnar file that are used; None: all
    ordered: bool = False  # whether samples are made of records in their order
