"""Numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from learnd.daemon.stream.decoding.columns import LARGEST_FLOAT32, NAN, Values, with_default
from learnd.daemon.stream.decoding.defects import Reason, defect, missing_text, shown
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect, Float64

NUMBERS = frozenset({float, int})


def as_number(value: Any) -> float:
    if type(value) not in NUMBERS and not isinstance(value, Decimal):
        return NAN
    try:
        return float(value)
    except (OverflowError, ValueError):
        return math.inf  # a whole number too large for a float


def as_numbers(values: Values) -> Float64:
    """Return an array (n,)."""
    if isinstance(values, np.ndarray):
        return values
    if set(map(type, values)) <= NUMBERS:
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:
            pass
    return np.fromiter(map(as_number, values), np.float64, len(values))


def number_defect(name: str, value: Any, kind: str, texts: Texts) -> Defect:
    if texts.means_missing(value):
        return missing_text(name, value)
    if isinstance(value, str):
        value = texts.number(value)
    if value is None:
        return defect(Reason.NULL, f"{name}: expected {kind}, got null")
    number = as_number(value)
    if math.isnan(number) and not isinstance(value, float | Decimal):
        return defect(Reason.WRONG_TYPE, f"{name}: expected {kind}, got {shown(value)}")
    if isinstance(value, float | Decimal) and not math.isfinite(number):
        return defect(Reason.NOT_FINITE, f"{name}: {value} is not finite")
    if abs(number) > LARGEST_FLOAT32:
        return defect(Reason.OVERFLOW, f"{name}: {shown(value)} is too large for a 32-bit float")
    return defect(Reason.WRONG_TYPE, f"{name}: expected {kind}, got {shown(value)}")


class NumberReader:
    """A number. If `whole`, it must not have a fraction."""

    width = 1
    json_type: Any = float

    def __init__(self, texts: Texts, *, whole: bool = False, default: float | None = None) -> None:
        self.default = default
        self._texts = texts
        self._whole = whole

    def read(self, values: Values) -> Float64:
        numbers = as_numbers(with_default(self._texts.with_numbers(values), self.default))
        if self._whole:
            numbers = np.where(np.rint(numbers) == numbers, numbers, NAN)
        return numbers[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return self._texts.numbers(cells)

    def defect(self, name: str, value: Any) -> Defect:
        return number_defect(name, value, "a whole number" if self._whole else "a number", self._texts)


class WeightReader:
    """A number of 0 or more."""

    width = 1
    json_type: Any = float
    default = None

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def read(self, values: Values) -> Float64:
        numbers = as_numbers(self._texts.with_numbers(values))
        return np.where(numbers >= 0, numbers, NAN)[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return self._texts.numbers(cells)

    def defect(self, name: str, value: Any) -> Defect:
        number = self._texts.number(value) if isinstance(value, str) else value
        if as_number(number) < 0:
            return defect(Reason.OUT_OF_RANGE, f"{name}: {shown(value)}, but a weight is 0 or more")
        return number_defect(name, value, "a number of 0 or more", self._texts)
