"""What the records show about each field."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import chain, pairwise
from typing import Any, TypeGuard

from learnd.daemon.stream.decoding.categories import TRUE_OR_FALSE
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.inferring.dates import date_format_of, is_iso, parts_of, readable, unit_of_numbers
from learnd.daemon.stream.inferring.numerals import MAYBE_MISSING, NEARLY_ALL, Numerals, are_numbers
from learnd.daemon.stream.inferring.prose import is_prose
from learnd.daemon.stream.inferring.sniffing import Sniffed

_ENOUGH_ROWS = 10  # with fewer values, a field is not called constant, an identifier or a counter
_COUNTED_ROWS = 200
_TIMES_EACH = 20  # how often each value of a category comes that is not whose record it is

_MOST_WORDS = 2  # that stand for no value, but are not usual for that

_DEEPEST = 3

_OWNER_PATTERN = re.compile(r"(.*[_. ])?(user|customer|account|device|session|client|card)")
_KEY_PATTERN = re.compile(
    r"(.*[_. ])?(user|customer|account|device|session|client|card)([_ ]?(id|ID|Id))?"
    r"|(.*[_. ])?[uU]{0,2}(id|ID|Id)|\w+(Id|ID)|key|index|(row|Row)([_ ]?(number|no|nr|names?))?"
)


@dataclass(frozen=True)
class FieldSeen:
    """What one field held. `kind` is number, boolean, text, prose, time, vector, labels or other."""

    name: str
    kind: str
    values: list[Any]  # without those that are missing; numbers as floats
    nulls: int
    unit: str = "auto"  # of a time
    date_format: str | None = None  # of a time
    parts: tuple[str, ...] = ()  # of a time
    words: tuple[str, ...] = ()  # unusual ones that stand for no value
    odd: tuple[Any, ...] = ()  # not like nearly all others, nor a word that came again and again

    @cached_property
    def distinct(self) -> list[Any]:
        """The different values, in order of first appearance."""
        return list(dict.fromkeys(map(_hashable, self.values)))

    @cached_property
    def constant(self) -> bool:
        return len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == 1

    @cached_property
    def identifier(self) -> bool:
        """Whether all values differ, and are texts, or numbers in a field named like a key."""
        unique = len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == len(self.values)
        return unique and (self.kind == "text" or (self.kind == "number" and self.named_like_a_key))

    @cached_property
    def counter(self) -> bool:
        """Whether it counts the records."""
        first = self.values[:_COUNTED_ROWS]
        steps = {after - before for before, after in pairwise(first)} if self._whole else set()
        return len(first) >= _ENOUGH_ROWS and not self.nulls and steps == {1}

    @cached_property
    def named_like_a_key(self) -> bool:
        return _KEY_PATTERN.fullmatch(self.name) is not None

    @cached_property
    def key(self) -> bool:
        """Whether it says whose record it is."""
        whole = self.kind == "text" or self._whole
        some = 1 < len(self.distinct) < len(self.values)
        return self.named_like_a_key and whole and some and not self._few_that_come_often

    @cached_property
    def _few_that_come_often(self) -> bool:
        """Whether it is a category that is named like whoever has a record: `device` may be a phone or a tablet."""
        often = len(self.values) >= _TIMES_EACH * len(self.distinct)
        return _OWNER_PATTERN.fullmatch(self.name) is not None and self.kind == "text" and often

    @property
    def _whole(self) -> bool:
        return self.kind == "number" and all(value % 1 == 0 for value in self.values)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def fields_of(sniffed: Sniffed) -> dict[str, list[Any]]:
    """Return the values of each field, None if it is missing. Fields of nested objects are named by their path."""
    flat = [dict(_flattened(record, sniffed.format, "", 1)) for record in sniffed.records]
    names = dict.fromkeys(chain.from_iterable(flat))
    return {name: [record.get(name) for record in flat] for name in names}


def _flattened(record: Mapping[str, Any], form: str, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        path = prefix + (name if form == "csv" else str(name).replace(".", "\\."))
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _flattened(value, form, f"{path}.", depth + 1)
        else:
            yield path, value


def described(name: str, column: Sequence[Any], numerals: Numerals, *, exact: bool = False) -> FieldSeen:
    """Describe a field by its values that are not missing. `exact`: one that is no number makes texts of all."""
    texts = numerals.texts
    given = [value for value in column if value is not None and value == value]  # noqa: PLR0124  (NaN)
    sure = [value for value in given if not texts.means_missing(value)]
    nulls = len(column) - len(sure)
    words = tuple(sorted(MAYBE_MISSING & {value.strip() for value in given if isinstance(value, str)}))
    found = _alike(name, sure, nulls, words, numerals)
    if found is None and not exact and _KEY_PATTERN.fullmatch(name) is None:
        found = _nearly_alike(name, sure, nulls, words, numerals)
    if found is not None:
        return found
    present = [value for value in given if value != ""]
    kind = "prose" if is_prose(present) else _kind(present)
    return FieldSeen(name, kind, present, len(column) - len(present))


def _alike(name: str, sure: list[Any], nulls: int, words: tuple[str, ...], numerals: Numerals) -> FieldSeen | None:
    """Describe a field of numbers, of yes and no, or of times; None if it is none."""
    if not sure:
        return None
    numbers = _as_numbers(sure, numerals.texts)
    if None not in numbers and _no_codes(sure, numerals):
        return _numbers(name, sure, numbers, nulls, words)
    if all(isinstance(value, bool) or is_truth_word(value) for value in sure):
        return FieldSeen(name, "boolean", sure, nulls, words=words)
    if is_iso(sure):
        return FieldSeen(name, "time", sure, nulls, "iso", parts=parts_of(sure, "iso", None), words=words)
    if all(isinstance(value, str) for value in sure) and (date_format := date_format_of(name, sure)):
        parts = parts_of(sure, "auto", date_format)
        return FieldSeen(name, "time", sure, nulls, date_format=date_format, parts=parts, words=words)
    return None


def _nearly_alike(
    name: str, sure: list[Any], nulls: int, words: tuple[str, ...], numerals: Numerals
) -> FieldSeen | None:
    """Describe a field of which nearly all values are numbers or times; None if it is none.

    One or two words that came more than once stand for no value. Others are odd.
    """
    fit = _majority(name, sure, numerals)
    usual = [value for value, fits in zip(sure, fit, strict=True) if fits]
    odd = [value for value, fits in zip(sure, fit, strict=True) if not fits]
    if len(usual) < NEARLY_ALL * len(sure):
        return None
    if all(isinstance(value, str) for value in odd):
        counts = Counter(value.strip() for value in odd)
        if len(counts) <= _MOST_WORDS and min(counts.values(), default=0) > 1:
            words, nulls, odd = tuple(sorted({*words, *counts})), nulls + len(odd), []
    found = _alike(name, usual, nulls, words, numerals)
    return replace(found, odd=tuple(odd)) if found is not None else None


def _majority(name: str, sure: list[Any], numerals: Numerals) -> list[bool]:
    """Say of each value whether it is a number, if nearly all are, or else a time, if nearly all are."""
    fit = [number is not None for number in _as_numbers(sure, numerals.texts)]
    if sum(fit) >= NEARLY_ALL * len(fit):
        return fit
    if is_iso(sure, NEARLY_ALL):
        return readable(sure, None)
    texts = [value for value in sure if isinstance(value, str)]
    if len(texts) == len(sure) > 0 and (date_format := date_format_of(name, texts, NEARLY_ALL)):
        return readable(texts, date_format)
    return [False] * len(sure)


def _as_numbers(values: Sequence[Any], texts: Texts) -> list[float | None]:
    """Return each value as a number, None if it is none."""
    read = (texts.number(value) if isinstance(value, str) else value for value in values)
    return [float(value) if _is_number(value) else None for value in read]


def _no_codes(values: Sequence[Any], numerals: Numerals) -> bool:
    words = [value for value in values if isinstance(value, str)]
    return not words or are_numbers(words, numerals.texts)


def _numbers(name: str, raw: list[Any], numbers: list[Any], nulls: int, words: tuple[str, ...]) -> FieldSeen:
    if unit := unit_of_numbers(name, numbers):
        return FieldSeen(name, "time", numbers, nulls, unit, parts=parts_of(numbers, unit, None), words=words)
    digits = all(isinstance(value, str) and len(value.strip()) == 8 for value in raw)  # yyyymmdd
    if digits and (date_format := date_format_of(name, raw)):
        parts = parts_of(raw, "auto", date_format)
        return FieldSeen(name, "time", raw, nulls, date_format=date_format, parts=parts, words=words)
    return FieldSeen(name, "number", numbers, nulls, words=words)


def _kind(values: Sequence[Any]) -> str:
    if not values:
        return "other"
    if all(isinstance(value, list) for value in values):
        return _kind_of_lists(values)
    return "text" if all(isinstance(value, str | bool) or _is_number(value) for value in values) else "other"


def _kind_of_lists(values: Sequence[list[Any]]) -> str:
    items = list(chain.from_iterable(values))
    if items and all(isinstance(item, str) for item in items):
        return "labels"
    return "vector" if items and all(map(_is_number, items)) and len(set(map(len, values))) == 1 else "other"


def _is_number(value: Any) -> TypeGuard[int | float | Decimal]:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def is_truth_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in TRUE_OR_FALSE
