"""Samples: what a record says once it is decoded, and what the settings say of their shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Float32, Float64, Int64, Note
from learnd.daemon.values.records import Rejection


@dataclass(frozen=True, slots=True)
class Block:
    """The records of one `RecordBatch`, decoded and checked. The arrays hold the samples: what was not rejected."""

    partition: str
    start: int
    ends: Int64  # (n,)
    fates: NDArray[np.uint8]  # (n,) of Fate
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
class Task:
    """What the label is. `outputs` is C, the units of the model's last layer; `label_columns` is O."""

    kind: str  # a name in `tasks.registry.KINDS`
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
