"""Times, and their position in the hour, the day or the year."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal

import numpy as np

from learnd.daemon.stream.decoding.columns import NAN, TEXT_OR_NUMBER, Values, canonical
from learnd.daemon.stream.decoding.defects import Reason, defect, missing_text, shown
from learnd.daemon.stream.decoding.memo import Memo
from learnd.daemon.stream.decoding.numbers import NUMBERS, as_number, as_numbers
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect, Float64

_UNITS_PER_SECOND = {"auto": 1.0, "s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}

_FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()

_LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


class TimeReader:
    """Seconds since 1970, from a number in some unit or from ISO 8601 text. Text without an offset is UTC."""

    width = 1
    default = None

    def __init__(self, unit: str, texts: Texts, date_format: str | None = None) -> None:
        """`date_format` is one of `datetime.strptime`; without it, text is ISO 8601 or a number, as `unit` says."""
        self._texts = texts
        self._date_format = date_format
        self._per_second = None if date_format else _UNITS_PER_SECOND.get(unit)
        by_unit = {"auto": self._iso_or_number, "iso": _iso_seconds}
        self._second_of_text: Callable[[str], float] = (
            Memo(self._parsed).__getitem__ if date_format else by_unit.get(unit, self._numeric)
        )
        types = {"auto": TEXT_OR_NUMBER, "iso": str}
        self.json_type: Any = TEXT_OR_NUMBER if date_format else types.get(unit, float)

    def read(self, values: Values) -> Float64:
        return self.seconds(values)[:, None]

    def seconds(self, values: Values) -> Float64:
        """Return an array (n,), with NaN outside the years 1 to 9999."""
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            microseconds = values.astype("datetime64[us]")
            seconds = np.where(np.isnat(microseconds), NAN, microseconds.astype(np.int64) / 1e6)
        elif isinstance(values, np.ndarray) or (self._date_format is None and set(map(type, values)) <= NUMBERS):
            seconds = as_numbers(values) / (self._per_second or NAN)
        else:
            seconds = np.fromiter(map(self._second, values), np.float64, len(values))
        return np.where((seconds >= _FIRST_SECOND) & (seconds <= _LAST_SECOND), seconds, NAN)

    def _second(self, value: Any) -> float:
        if isinstance(value, str):
            return self._second_of_text(value)
        if isinstance(value, date):  # or a datetime, which is a subclass
            return _iso_seconds(value.isoformat())
        if self._date_format is not None:
            return self._second_of_text(canonical(value) or "")  # such as 20240229
        return as_number(value) / (self._per_second or NAN)

    def _iso_or_number(self, text: str) -> float:
        seconds = _iso_seconds(text)
        return self._numeric(text) if math.isnan(seconds) else seconds

    def _numeric(self, text: str) -> float:
        return as_number(self._texts.number(text)) / (self._per_second or NAN)

    def _parsed(self, text: str) -> float:
        try:
            return _utc_seconds(datetime.strptime(text.strip(), self._date_format or ""))  # noqa: DTZ007
        except (ValueError, OverflowError):
            return NAN

    def from_text(self, cells: Sequence[str]) -> Values:
        if self._per_second is None:
            return [None if self._texts.means_missing(cell) else cell for cell in cells]
        return self._texts.numbers(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a time, got null")
        if self._texts.means_missing(value):
            return missing_text(name, value)
        if isinstance(value, str):
            value = self._texts.number(value)
        if isinstance(value, float) and not math.isfinite(value):
            return defect(Reason.NOT_FINITE, f"{name}: {value} is not finite")
        if self._per_second is not None and not math.isnan(as_number(value)):
            return defect(Reason.OUT_OF_RANGE, f"{name}: {shown(value)} is outside the years 1 to 9999; check its unit")
        form = f" as {self._date_format}" if self._date_format else ""
        return defect(Reason.WRONG_TYPE, f"{name}: expected a time{form}, got {shown(value)}")


def _iso_seconds(text: str) -> float:
    try:
        return _utc_seconds(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return NAN


def _utc_seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class CyclicReader(TimeReader):
    """The position of a time in some periods, each as the sine and cosine of an angle that turns once per period."""

    def __init__(self, unit: str, parts: Sequence[str], texts: Texts, date_format: str | None = None) -> None:
        super().__init__(unit, texts, date_format)
        self.width = 2 * len(parts)
        self._parts = parts

    def read(self, values: Values) -> Float64:
        seconds = self.seconds(values)
        usable = np.isfinite(seconds)
        turns = _turns(np.where(usable, seconds, 0.0), self._parts) * (2 * math.pi)
        both = np.stack([np.sin(turns), np.cos(turns)], axis=-1).reshape(len(seconds), self.width)
        both[~usable] = NAN
        return both


def _turns(seconds: Float64, parts: Sequence[str]) -> Float64:
    """Return (n, parts), each in [0, 1): the share of the hour, day, week, month or year that has passed."""
    return np.stack([_TURNS[part](seconds) for part in parts], axis=-1)


def _calendar_turn(seconds: Float64, unit: Literal["M", "Y"]) -> Float64:
    """Return the share of the calendar month or year that has passed."""
    period = seconds.astype("datetime64[s]").astype(f"datetime64[{unit}]")
    first, last = (p.astype("datetime64[s]").astype(np.float64) for p in (period, period + np.timedelta64(1, unit)))
    return (seconds - first) / (last - first)


def _fixed_turn(seconds: Float64, period_s: float) -> Float64:
    return np.mod(seconds, period_s) / period_s


def _month_turn(seconds: Float64) -> Float64:
    months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return np.mod(months, 12) / 12


_TURNS = {
    "minute": lambda seconds: _fixed_turn(seconds, 3600.0),
    "hour": lambda seconds: _fixed_turn(seconds, 86400.0),
    # 1970 began on a Thursday; the week begins on Monday.
    "weekday": lambda seconds: _fixed_turn(seconds + 3 * 86400.0, 7 * 86400.0),
    "day_of_month": lambda seconds: _calendar_turn(seconds, "M"),
    "day_of_year": lambda seconds: _calendar_turn(seconds, "Y"),
    "month": _month_turn,
}
