"""Finds out how a file writes its times."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.times import TimeReader
from learnd.daemon.values import Float64

_DAYS = ("%d.%m.%Y", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%d %b %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y")
_FORMATS = (*(day + clock for clock in _CLOCKS for day in _DAYS), *_MONTHS)
_TRIED_FIRST = 20  # words: most formats fail on these
_DIGITS = "%Y%m%d"

_TIME_PATTERN = re.compile(
    r"(.*[_. ])?(ts|t|time|timestamp|date|datetime|day|at|when)|\w+(Time|At|Date)|created|updated", re.IGNORECASE
)

_NO_TEXTS = Texts()


def unit_of_numbers(name: str, values: Sequence[float]) -> str | None:
    """Return the unit of a column of times since 1970, by its name and the years 1990 to 2100; None if it is none."""
    if not _is_named_time(name):
        return None
    return next((unit for unit, n in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)) if _all_within(values, n)), None)


def is_iso(values: Sequence[Any], share: float = 1.0) -> bool:
    """Whether these are times, or this share of them: ISO 8601 texts, or such as Parquet holds."""
    return bool(values) and _are_mostly_times(values, None, share)


def date_format_of(name: str, words: Sequence[str], share: float = 1.0) -> str | None:
    """Return the format that reads all of these texts, or this share of them; None if there is none."""
    different = list(dict.fromkeys(words))
    formats = (*_FORMATS, _DIGITS) if _is_named_time(name) else _FORMATS
    return next((form for form in formats if _are_mostly_times(different, form, share)), None)


def readable(values: Sequence[Any], date_format: str | None) -> list[bool]:
    """Say of each value whether it is a time in this format, of ISO 8601 if it is None."""
    return [math.isfinite(second) for second in _seconds(values, "iso", date_format)]


def other_reading(words: Sequence[str], date_format: str) -> str | None:
    """Return the format with day and month the other way round, if it reads all of these texts as well."""
    if "%m/%d" not in date_format:
        return None
    other = date_format.replace("%m/%d", "%d/%m")
    return other if all(readable(words, other)) else None


def parts_of(values: Sequence[Any], unit: str, date_format: str | None) -> tuple[str, ...]:
    """Return what of a time can tell something: a date has no hour, and a month no weekday."""
    if date_format in _MONTHS:
        return ("month",)
    seconds = _seconds(values, unit, date_format)
    return ("weekday", "month") if not np.any(seconds % 86400) else ("hour", "weekday")


def _is_named_time(name: str) -> bool:
    return _TIME_PATTERN.fullmatch(name.rpartition(".")[2]) is not None


def _all_within(values: Sequence[float], per_second: float) -> bool:
    return all(631_152_000 * per_second <= value <= 4_102_444_800 * per_second for value in values)


def _are_mostly_times(values: Sequence[Any], date_format: str | None, share: float) -> bool:
    few = list(islice(values, _TRIED_FIRST))
    return _share(few, date_format) >= 2 * share - 1 and _share(values, date_format) >= share


def _share(values: Sequence[Any], date_format: str | None) -> float:
    return sum(readable(values, date_format)) / len(values)


def _seconds(values: Sequence[Any], unit: str, date_format: str | None) -> Float64:
    return TimeReader("auto" if date_format else unit, _NO_TEXTS, date_format).seconds(values)
