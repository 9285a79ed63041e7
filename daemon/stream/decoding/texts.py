"""How text is read: which words mean that there is no value, and how numbers are written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from learnd.daemon.stream.decoding.columns import Values
from learnd.daemon.values import Float64

T = TypeVar("T")

FromNumber = Callable[[str], float | str | None]

_JSON_NUMBERS = msgspec.json.Decoder(list[float])
_JSON_NUMBERS_AND_NULLS = msgspec.json.Decoder(list[float | None])

NO_SIGN = 0.0  # adding it turns -0 into 0: msgspec drops the sign of "-0", but float() keeps it

_BLANKS = " \u00a0\u202f"  # blanks between thousands are often those that do not break a line


def number_from_text(text: str) -> float | str | None:
    """Return the number in a text as programs write it, None if the text is blank, or itself if it is not a number."""
    stripped = text.strip()
    if not stripped:
        return None
    if "_" in stripped or not stripped.isascii():
        return text  # float() accepts `1_000` and digits of other scripts, but these are probably not numbers
    try:
        return float(stripped) + NO_SIGN
    except ValueError:
        return text


class Texts:
    """How the texts of a stream are to be read."""

    def __init__(
        self,
        missing: Iterable[str] = (),
        *,
        missing_categories: Iterable[str] = (),
        decimal: str = ".",
        thousands: str | None = None,
        units: Iterable[str] = (),
    ) -> None:
        """`missing_categories` are the words that mean missing where any text can be a value."""
        self._missing = frozenset(missing) | {""}
        self._missing_categories = frozenset(missing_categories)
        as_programs_do = decimal == "." and thousands is None
        read = number_from_text if as_programs_do else _as_people_do(decimal, thousands)
        self._plain = as_programs_do and not any(map(_is_number, self._missing))
        self._units = tuple(units)
        self._read = _beside(self._units, read) if self._units else read

    @property
    def missing_numbers(self) -> frozenset[str] | None:
        """The words that mean missing where a number is expected, if all other numbers are as programs write them."""
        return self._missing if self._plain and not self._units else None

    def missing_category(self, value: object) -> bool:
        """Whether a value stands for none where any text can be a value."""
        return isinstance(value, str) and value.strip() in self._missing_categories

    def means_missing(self, value: object) -> bool:
        return isinstance(value, str) and value.strip() in self._missing

    def number(self, text: str) -> float | str | None:
        """Return the number in a text, None if the text means missing, or itself if it is not a number."""
        return None if text.strip() in self._missing else self._read(text)

    def numbers(self, texts: Sequence[str]) -> Values:
        """Return the numbers of a column. If all are JSON numbers, msgspec reads them, which is five times as fast."""
        numbers: Values | None = None
        if self._plain:
            numbers = _json_numbers(texts)
            if numbers is None and "null" in self._missing:
                numbers = _json_numbers_and_nulls(["null" if text in self._missing else text for text in texts])
        return list(map(self.number, texts)) if numbers is None else numbers

    def with_numbers(self, values: Values) -> Values:
        """Replace the texts among values by their numbers."""
        if isinstance(values, np.ndarray) or str not in set(map(type, values)):
            return values
        return [self.number(value) if isinstance(value, str) else value for value in values]


def _is_number(text: str) -> bool:
    number = number_from_text(text)
    return isinstance(number, float) and math.isfinite(number)


def _json_numbers(texts: Sequence[str]) -> Float64 | None:
    numbers = _decoded(_JSON_NUMBERS, texts)
    return None if numbers is None else np.fromiter(numbers, np.float64, len(numbers)) + NO_SIGN


def _json_numbers_and_nulls(texts: Sequence[str]) -> list[float | None] | None:
    numbers = _decoded(_JSON_NUMBERS_AND_NULLS, texts)
    return None if numbers is None else [None if number is None else number + NO_SIGN for number in numbers]


def _decoded(decoder: msgspec.json.Decoder[list[T]], texts: Sequence[str]) -> list[T] | None:
    """Return what the texts are as the items of one JSON list; None if they are no such items."""
    try:
        found = decoder.decode(f"[{','.join(texts)}]")
    except ValueError:
        return None
    return found if len(found) == len(texts) else None  # a quoted cell may hold a comma


def _as_people_do(decimal: str, thousands: str | None) -> FromNumber:
    """Return what reads `1.234,5`. Thousands must be groups of three digits, so that `1.5` is not taken for 15."""
    marks = _BLANKS if thousands == " " else thousands or ""
    grouped = f"[1-9][0-9]{{0,2}}(?:[{re.escape(marks)}][0-9]{{3}})+|" if marks else ""
    pattern = re.compile(rf"[+-]?(?:{grouped}[0-9]*)(?:{re.escape(decimal)}[0-9]*)?(?:[eE][+-]?[0-9]+)?")
    rewritten = str.maketrans({decimal: ".", **dict.fromkeys(marks)})

    def read(text: str) -> float | str | None:
        stripped = text.strip()
        if pattern.fullmatch(stripped) is None:
            return text
        number = number_from_text(stripped.translate(rewritten))
        return number if isinstance(number, float) else text

    return read


def _beside(units: Sequence[str], read: FromNumber) -> FromNumber:
    """Return what reads a number with one of these units before or after it."""
    unit = "|".join(re.escape(unit) for unit in sorted(units, key=len, reverse=True))
    pattern = re.compile(rf"\s*(?:(?:{unit})\s*(.*?[0-9.,])|(.*?[0-9.,])\s*(?:{unit}))\s*", re.DOTALL)

    def read_without(text: str) -> float | str | None:
        found = pattern.fullmatch(text)
        number = read(text if found is None else found[1] or found[2])
        return number if isinstance(number, float) else text

    return read_without
