"""What the first records show about each field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from learnd.daemon.stream.decoding.categories import TRUE_OR_FALSE
from learnd.daemon.stream.decoding.texts import Texts, number_from_text
from learnd.daemon.stream.decoding.times import TimeReader
from learnd.daemon.stream.inferring.sniffing import Sniffed

_ENOUGH_ROWS = 10  # with fewer values, a field is not called constant, or an identifier

_DEEPEST = 3

_TIME_PATTERN = re.compile(
    r"(.*[_.])?(ts|t|time|timestamp|date|datetime|at|when)|\w+(Time|At|Date)|created|updated", re.IGNORECASE
)

_KEY_PATTERN = re.compile(
    r"(.*[_.])?(user|customer|account|device|session|client|card)(_?id)?|(.*[_.])?(\w+_)?u?u?id|\w+Id|key"
)


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """What one field held. `kind` is number, boolean, text, time, vector, labels or other."""

    name: str
    kind: str
    values: list[Any]  # without nulls
    nulls: int
    unit: str = "auto"  # of a time

    @property
    def distinct(self) -> list[Any]:
        """The different values, in order of first appearance."""
        return list(dict.fromkeys(map(_hashable, self.values)))

    @property
    def constant(self) -> bool:
        return len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == 1

    @property
    def identifier(self) -> bool:
        """Whether all values differ, and are texts, or numbers in a field named like a key."""
        unique = len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == len(self.values)
        named = _KEY_PATTERN.fullmatch(self.name) is not None
        return unique and (self.kind == "text" or (self.kind == "number" and named))


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


def described(name: str, column: Sequence[Any], *, is_csv: bool) -> FieldSeen:
    """Describe a field by its values that are not null."""
    typed = map(number_from_text, column) if is_csv else column
    values = [value for value in typed if value is not None and value == value]  # noqa: PLR0124  (NaN)
    nulls = len(column) - len(values)
    if unit := _time_unit(name, values):
        return FieldSeen(name, "time", values, nulls, unit)
    return FieldSeen(name, _kind(values, is_csv=is_csv), values, nulls)


def _kind(values: Sequence[Any], *, is_csv: bool) -> str:
    if not values:
        return "other"
    if all(isinstance(value, bool) for value in values) or (is_csv and all(map(_is_truth_word, values))):
        return "boolean"
    if all(map(_is_number, values)):
        return "number"
    if all(isinstance(value, list) for value in values):
        return _kind_of_lists(values)
    return "text" if all(isinstance(value, str | bool) or _is_number(value) for value in values) else "other"


def _kind_of_lists(values: Sequence[list[Any]]) -> str:
    items = list(chain.from_iterable(values))
    if items and all(isinstance(item, str) for item in items):
        return "labels"
    return "vector" if items and all(map(_is_number, items)) and len(set(map(len, values))) == 1 else "other"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_truth_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in TRUE_OR_FALSE


def _time_unit(name: str, values: Sequence[Any]) -> str | None:
    """Return the unit of a column of times; None if the column does not hold times."""
    if not values:
        return None
    if not all(map(_is_number, values)):
        return "iso" if all(math.isfinite(t) for t in TimeReader("iso", Texts()).seconds(values)) else None
    if not _TIME_PATTERN.fullmatch(name.rpartition(".")[2]):
        return None
    # Between the years 1990 and 2100.
    return next((unit for unit, n in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)) if _all_within(values, n)), None)


def _all_within(values: Sequence[float], per_second: float) -> bool:
    return all(631_152_000 * per_second <= value <= 4_102_444_800 * per_second for value in values)


def is_key(field: FieldSeen) -> bool:
    named = _KEY_PATTERN.fullmatch(field.name) is not None
    whole = field.kind == "text" or (field.kind == "number" and all(value % 1 == 0 for value in field.values))
    return named and whole and 1 < len(field.distinct) < len(field.values)
