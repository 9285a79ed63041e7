"""The values that travel from the source to the weights: columns, rather than an object per record.

Letters in shapes: n records, m samples (records that were not rejected), K updates, B samples an update,
O columns of the label. The trailing dimensions of `x` are those of one sample's features.

A *position* is, per partition, the offset after the last record; to resume is to read the record that
starts at the position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Positions: TypeAlias = dict[str, int]
Arrays: TypeAlias = dict[str, NDArray[Any]]
Facts: TypeAlias = dict[str, Any]  # whatever JSON can hold
Note: TypeAlias = Mapping[str, Any]
Float32: TypeAlias = NDArray[np.float32]
Float64: TypeAlias = NDArray[np.float64]
Int64: TypeAlias = NDArray[np.int64]


def finite(arrays: Arrays) -> bool:
    """Whether there is no NaN and no infinity in any of them."""
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a record cannot be a sample. `reason` is one of a small, fixed set of words: it labels a metric."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """At least one record of one partition, in order, as the source read them.

    `values` holds bytes, or mappings where the format is columnar (Parquet). `defects` names, by index,
    records that the source already knows to be broken (a line over the limit, a truncated archive); their
    value is what there is of them. `note` is a fact about the outside that the source needs to find these
    records again (see `contracts.Source`).
    """

    partition: str
    start: int  # the position of the first record
    ends: Int64  # (n,) the position after each record; strictly increasing, all > start
    values: Sequence[bytes] | Sequence[Mapping[str, Any]]  # n of them
    columns: tuple[str, ...] | None = None  # the names of the fields of a CSV row, or of a Parquet file
    schemas: Mapping[int, tuple[str, ...]] | None = None  # of Avro values that name theirs: what it builds on, itself
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Sequence[tuple[str, bytes]]] | None = None
    timestamps_s: Float64 | None = None  # (n,) seconds since 1970
    defects: Mapping[int, Defect] | None = None
    note: Note | None = None

    def __len__(self) -> int:
        return len(self.values)


class Kind(IntEnum):
    """What becomes of a record."""

    TRAIN = 0
    HOLD_OUT = 1
    REJECT = 2


@dataclass(frozen=True, slots=True)
class Rejection:
    """A dead letter: a record that was not trained, why, and where it was."""

    partition: str
    start: int
    end: int
    defect: Defect
    value: bytes
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_s: float | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The records of one `RecordBatch`, decoded and checked. The arrays hold the samples: what was not rejected."""

    partition: str
    start: int
    ends: Int64  # (n,)
    kinds: NDArray[np.uint8]  # (n,) of Kind
    x: NDArray[Any]  # (m, ...)
    y: Float32  # (m, O); a class is its index, a binary label 0 or 1
    weight: Float32  # (m,)
    event_time_s: Float64 | None  # (m,) seconds since 1970
    rejections: tuple[Rejection, ...] = ()
    note: Note | None = None
    keys: Sequence[bytes | None] | None = None  # n of them, as the source has them

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True, slots=True)
class Span:
    """The records of `partition` from position `start` up to `end`, which is not part of it."""

    partition: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where some samples come from: n of them, in order, of one partition."""

    partition: str
    starts: Int64  # (n,) the position of the record of each
    ends: Int64  # (n,) the position after it
    keys: Sequence[bytes | None] | None  # n of them


@dataclass(frozen=True, slots=True)
class Call:
    """K updates of B samples, in order, and all that was consumed with them.

    The spans cover each record up to the last trained one, the rejected and held-out ones between them
    included. A partial call is a single update of fewer samples than the settings say. A call of no update
    moves the position past records none of which train.
    """

    spans: tuple[Span, ...]
    x: NDArray[Any]  # (K, B, ...)
    y: Float32  # (K, B, O)
    weight: Float32  # (K, B)
    partial: bool
    held_x: NDArray[Any]  # (h, ...)
    held_y: Float32  # (h, O)
    records: int
    rejections: tuple[Rejection, ...] = ()
    event_time_s: float | None = None  # of the newest trained sample
    notes: tuple[Note, ...] = ()
    origins: tuple[Origin, ...] | None = None  # of all trained samples; None where nobody asks for them
    next_phase: str | None = None  # the id of an operator's request for the next phase, which begins ahead of the call

    @property
    def updates(self) -> int:
        return int(self.x.shape[0])

    @property
    def samples(self) -> int:
        return int(self.x.shape[0] * self.x.shape[1])


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What the journal holds of a call: all that its composition depends on, beside the source's records."""

    number: int  # of the call, from 0
    spans: tuple[Span, ...]
    updates: int
    rows: int
    notes: tuple[Note, ...]
    next_phase: str | None = None  # as `Call.next_phase`
    settings: str = ""  # the fingerprint of the settings that it was written under

    @classmethod
    def of(cls, number: int, call: Call) -> JournalEntry:
        return cls(number, call.spans, call.updates, int(call.x.shape[1]), call.notes, call.next_phase)


class Skip(IntEnum):
    """Why an update left every variable untouched. The names, in lower case, label a metric."""

    NONE = 0
    NON_FINITE = 1  # loss, gradients or layer statistics
    LOSS = 2  # far above what is usual
    GRADIENT_NORM = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What the updates of one call did. Rows of `outputs` are predictions made before the update on them."""

    outputs: Float32  # (K, B, C) probabilities, or values for a regression
    loss: Float32  # (K,)
    gradient_norm: Float32  # (K,)
    skipped: NDArray[np.uint8]  # (K,) of Skip: 0 where the update changed variables

    @classmethod
    def joined(cls, reports: Sequence[Report]) -> Report:
        """Return one report of the updates of all of them, in this order; there is at least one."""
        if len(reports) == 1:
            return reports[0]
        return cls(*(np.concatenate([getattr(report, field.name) for report in reports]) for field in fields(cls)))

    def skips(self) -> dict[str, int]:
        """Return how many updates were skipped, by reason."""
        counts = np.bincount(self.skipped, minlength=len(Skip))
        return {reason.name.lower(): int(counts[reason]) for reason in Skip if reason and counts[reason]}


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history: a score, a drift, a reaction, a checkpoint. `samples` were trained before it."""

    kind: str
    samples: int
    data: Mapping[str, Any]


class TaskKind(IntEnum):
    BINARY = 0
    CLASSES = 1
    REGRESSION = 2
    MULTI_LABEL = 3


@dataclass(frozen=True, slots=True)
class Task:
    """What the label is. `outputs` is C, the units of the model's last layer; `label_columns` is O."""

    kind: TaskKind
    outputs: int
    label_columns: int
    names: tuple[str, ...] = ()  # of the classes, or of the labels


class ColumnKind(IntEnum):
    NUMBER = 0
    CATEGORY = 1  # an index in [0, size), exact in float32


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the feature matrix `x`."""

    name: str
    kind: ColumnKind
    size: int = 0  # of a category: how many indices there are
    values: tuple[str, ...] = ()  # of a category whose values are listed: in the order of their indices


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """The shape of a sample, handed to build functions: the columns of `x` (m, len(columns)) float32, and the task."""

    columns: tuple[Column, ...]
    task: Task

    @property
    def width(self) -> int:
        return len(self.columns)


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How a stream of bytes is cut into records."""

    name: str  # json, csv, parquet, avro or tf_example
    delimiter: str = ","  # of CSV
    columns: tuple[str, ...] | None = None  # of CSV without a header
    schema: bool = False  # whether the settings have a schema for it
