"""From the values of a field to numbers, one column at a time. A value that cannot be used becomes NaN.

A reader treats each value by itself, whatever its neighbours are, so that the samples are the same however the stream
is cut into batches. There are fast paths for columns in which all values have a usual type. They give the same results
as the slow paths.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values import Defect, Float64


class Repeated(Sequence[Any]):
    """Values of which many are equal: the distinct ones, and which of them each row has.

    A reader treats each value by itself, so it need not look at an equal one again.
    """

    def __init__(self, distinct: Sequence[Any], which: NDArray[np.integer[Any]]) -> None:
        self.distinct = distinct
        self.which = which

    def __len__(self) -> int:
        return len(self.which)

    def __iter__(self) -> Iterator[Any]:
        return map(self.distinct.__getitem__, self.which.tolist())

    @overload
    def __getitem__(self, rows: int) -> Any: ...

    @overload
    def __getitem__(self, rows: slice) -> Repeated: ...

    def __getitem__(self, rows: int | slice) -> Any:
        return Repeated(self.distinct, self.which[rows]) if isinstance(rows, slice) else self.distinct[self.which[rows]]


Values = Sequence[Any] | NDArray[Any]
"""The values of a field: as Python has them, or as an array of the kind that its reader's `json_type` stands for.

An array has NaN, or NaT, for what is null or missing.
"""

FromText = Callable[[Sequence[str]], Values]

LISTS = frozenset({list})

NAN = math.nan

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

SCALAR = bool | int | float | str

BOOLEAN = bool | float

TEXT_OR_NUMBER = float | str


class FieldReader(Protocol):
    """Turns the values of one field into numbers."""

    width: int  # of the columns that it fills
    json_type: Any  # what msgspec decodes the field to
    default: Any  # used for null; None: no default

    def from_text(self, cells: Sequence[str]) -> Values:
        """Return the values of CSV cells: None for an empty cell, the text itself if it means nothing here."""


class ColumnReader(FieldReader, Protocol):
    """A reader whose numbers are columns of a table."""

    def read(self, values: Values) -> Float64:
        """Return an array (n, width), with NaN in a row that cannot be used. Never raises."""

    def defect(self, name: str, value: Any) -> Defect:
        """Say what is wrong with a value for which reading gave numbers that are not all finite as float32."""


class InputReader(ABC, FieldReader):
    """A reader whose numbers are an input of the model by themselves, and too many for columns."""

    width = 1  # whether the value could be read
    default: Any = None

    @abstractmethod
    def read_input(self, name: str, values: Values) -> tuple[NDArray[Any], dict[int, Defect]]:
        """Return the input (n, ...), and what is wrong with each row that cannot be used. Never raises."""


def repeated(distinct: Values, which: NDArray[np.integer[Any]]) -> Values:
    """Return the values of all rows from the distinct ones."""
    return distinct[which] if isinstance(distinct, np.ndarray) else Repeated(distinct, which)


def only(values: Values) -> Any:
    """Return the single value there is as Python has it."""
    (value,) = values.tolist() if isinstance(values, np.ndarray) else values
    return value


def read_by(reader: ColumnReader, values: Values) -> Float64:
    """Return what the reader reads: an array (n, width)."""
    return reader.read(values.distinct)[values.which] if isinstance(values, Repeated) else reader.read(values)


def canonical(value: Any) -> str | None:
    """Return the text of a category, class or key; equal numbers have the same text. None if it cannot be one."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bool | int | float | Decimal):
        return None
    try:
        return str(int(value)) if value == int(value) else repr(float(value))
    except (ValueError, OverflowError, ArithmeticError):
        return None  # not finite, or of thousands of digits


def cells_as_text(cells: Sequence[str]) -> Sequence[str | None]:
    """Return CSV cells as they are, but None for an empty one."""
    return cells if all(cells) else [cell or None for cell in cells]


def with_default(values: Values, default: Any) -> Values:
    """Replace nulls by the default, and NaNs too, since Parquet and CSV files often write null as NaN."""
    if default is None:
        return values
    if isinstance(values, np.ndarray):
        return np.where(np.isnan(values), default, values)
    return [default if value is None or value != value else value for value in values]  # noqa: PLR0124  (NaN)


def finite_as_float32(numbers: Float64) -> NDArray[np.bool_]:
    """Return whether each number is finite as float32."""
    with np.errstate(over="ignore"):
        return np.isfinite(numbers.astype(np.float32))
