"""From the values of one field to numbers: a column at a time, NaN where a value cannot be used.

A reader decides on each value by itself: what it makes of one never depends on its neighbours, so that the
samples are the same however the stream is cut into batches. The quick ways are for columns in which every value is of
a usual type, and give what the slow ways give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values import Defect, Float64

Values = Sequence[Any] | Float64

FromText = Callable[[Sequence[str]], Values]

LISTS = frozenset({list})

NAN = math.nan

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

SCALAR = bool | int | float | str

BOOLEAN = bool | float


class ColumnReader(Protocol):
    """What is made of one field."""

    width: int
    json_type: Any  # what msgspec decodes the field to
    default: Any  # stands in for null; None: there is none

    def read(self, values: Values) -> Float64:
        """Return an array (n, width), NaN in a row that cannot be used. Never raises."""

    def from_text(self, cells: Sequence[str]) -> Values:
        """Return the values of CSV cells: None for an empty one, the text itself where it means nothing."""

    def defect(self, name: str, value: Any) -> Defect:
        """Say what is wrong with a value for which `read` gave something that is not finite as float32."""


def canonical(value: Any) -> str | None:
    """Return the text that a category, class or key goes by; equal numbers have one text. None: it is no such thing."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bool | int | float | Decimal):
        return None
    try:
        return str(int(value)) if value == int(value) else repr(float(value))
    except (ValueError, OverflowError, ArithmeticError):
        return None  # not finite, or of thousands of digits


def texts(cells: Sequence[str]) -> Sequence[str | None]:
    """Return CSV cells as they are, None for an empty one."""
    return cells if all(cells) else [cell or None for cell in cells]


def with_default(values: Values, default: Any) -> Values:
    """Put the default in for null, and for NaN, which is how Parquet and CSV files often write it."""
    if default is None:
        return values
    if isinstance(values, np.ndarray):
        return np.where(np.isnan(values), default, values)
    return [default if value is None or value != value else value for value in values]  # noqa: PLR0124  (NaN)


def finite_as_float32(numbers: Float64) -> NDArray[np.bool_]:
    """Return whether each number stays finite when it is cast."""
    with np.errstate(over="ignore"):
        return np.isfinite(numbers.astype(np.float32))
