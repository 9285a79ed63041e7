"""From the values of one field to numbers: a column at a time, NaN where a value cannot be used.

A reader decides on each value by itself: what it makes of one never depends on its neighbours, so that the
samples are the same however the stream is cut into batches. The quick ways below are for columns in which
every value is of a usual type, and give what the slow ways give.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Annotated, Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.memo import Memo
from learnd.daemon.values import Defect, Float64

Values = Sequence[Any] | Float64
FromText = Callable[[Sequence[str]], Values]

_NUMBERS = frozenset({float, int})
_LISTS = frozenset({list})
_JSON_NUMBERS = msgspec.json.Decoder(list[float])
_NAN = math.nan
_MOST_NAMED = 10  # of the listed values, where one that is not among them is rejected
_NO_SIGN = 0.0  # makes 0 of -0, whose sign msgspec drops from "-0" and float() keeps
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
SCALAR = bool | int | float | str
BOOLEAN = bool | float
TRUE_OR_FALSE: Mapping[str, float] = {
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), 0.0),
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), 1.0),
}


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


def number_from_text(cell: str) -> float | str | None:
    """Return the number in a cell, None where it is empty, the cell itself where it is no number."""
    stripped = cell.strip()
    if not stripped:
        return None
    if "_" in stripped or not stripped.isascii():
        return cell  # float() takes `1_000` and other scripts' digits; a stream that has them is not what it seems
    try:
        return float(stripped) + _NO_SIGN
    except ValueError:
        return cell


def _numbers_from_text(cells: Sequence[str]) -> Values:
    """Return the numbers of a column, through msgspec where they are all JSON numbers: that is five times as quick."""
    try:
        numbers = _JSON_NUMBERS.decode(f"[{','.join(cells)}]")
    except ValueError:
        return list(map(number_from_text, cells))
    if len(numbers) != len(cells):  # a quoted cell held a comma
        return list(map(number_from_text, cells))
    return np.fromiter(numbers, np.float64, len(numbers)) + _NO_SIGN


def texts(cells: Sequence[str]) -> Sequence[str | None]:
    """Return CSV cells as they are, None for an empty one."""
    return cells if all(cells) else [cell or None for cell in cells]


def _number(value: Any) -> float:
    if type(value) not in _NUMBERS and not isinstance(value, Decimal):
        return _NAN
    try:
        return float(value)
    except (OverflowError, ValueError):
        return math.inf  # a whole number too large for a float


def _numbers(values: Values) -> Float64:
    """Return an array (n,)."""
    if isinstance(values, np.ndarray):
        return values
    if set(map(type, values)) <= _NUMBERS:
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:
            pass
    return np.fromiter(map(_number, values), np.float64, len(values))


def _filled(values: Values, default: Any) -> Values:
    """Put the default in for null, and for NaN, which is how Parquet and CSV files often write it."""
    if default is None:
        return values
    if isinstance(values, np.ndarray):
        return np.where(np.isnan(values), default, values)
    return [default if value is None or value != value else value for value in values]  # noqa: PLR0124  (NaN)


def _number_defect(name: str, value: Any, kind: str) -> Defect:
    if value is None:
        return defect(Reason.NULL, f"{name}: expected {kind}, got null")
    number = _number(value)
    if math.isnan(number) and not isinstance(value, float | Decimal):
        return defect(Reason.WRONG_TYPE, f"{name}: expected {kind}, got {shown(value)}")
    if isinstance(value, float | Decimal) and not math.isfinite(number):
        return defect(Reason.NOT_FINITE, f"{name}: {value} is not finite")
    if abs(number) > _LARGEST_FLOAT32:
        return defect(Reason.OVERFLOW, f"{name}: {shown(value)} is too large for a 32-bit float")
    return defect(Reason.WRONG_TYPE, f"{name}: expected {kind}, got {shown(value)}")


class NumberReader:
    """A number; `whole` if it has no fraction."""

    width = 1
    json_type: Any = float

    def __init__(self, *, whole: bool = False, default: float | None = None) -> None:
        self.default = default
        self._whole = whole

    def read(self, values: Values) -> Float64:
        numbers = _numbers(_filled(values, self.default))
        if self._whole:
            numbers = np.where(np.rint(numbers) == numbers, numbers, _NAN)
        return numbers[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return _numbers_from_text(cells)

    def defect(self, name: str, value: Any) -> Defect:
        return _number_defect(name, value, "a whole number" if self._whole else "a number")


class WeightReader:
    """A number of 0 or more."""

    width = 1
    json_type: Any = float
    default = None

    def read(self, values: Values) -> Float64:
        numbers = _numbers(values)
        return np.where(numbers >= 0, numbers, _NAN)[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return _numbers_from_text(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if _number(value) < 0:
            return defect(Reason.OUT_OF_RANGE, f"{name}: {shown(value)}, but a weight is 0 or more")
        return _number_defect(name, value, "a number of 0 or more")


class CategoryReader:
    """An index: of a listed value, or by hash. Reads through a cache, since values repeat."""

    width = 1

    def __init__(self, json_type: Any, default: Any) -> None:
        self.json_type = json_type
        self.default = default
        self._memo = Memo(self.index)

    def index(self, value: Any) -> float:
        """Return the index of one value; NaN where it has none."""
        raise NotImplementedError

    def read(self, values: Values) -> Float64:
        values = _filled(values, self.default)
        try:
            indices = np.fromiter(map(self._memo.__getitem__, values), np.float64, len(values))
        except TypeError:  # a list or a mapping, which has no hash
            indices = np.fromiter(map(self.index, values), np.float64, len(values))
        return indices[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return texts(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: null")
        return defect(Reason.WRONG_TYPE, f"{name}: expected text, a number or a boolean, got {shown(value)}")


class HashReader(CategoryReader):
    """The index of a value by BLAKE2b: the same in every process and on every machine."""

    def __init__(self, size: int, default: Any) -> None:
        super().__init__(SCALAR, default)
        self._size = size

    def index(self, value: Any) -> float:
        text = canonical(value)
        if text is None:
            return _NAN
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return float(int.from_bytes(digest, "little") % self._size)


class ListedReader(CategoryReader):
    """The index of a listed value. `other` is that of every other value; without it they are `unknown`."""

    def __init__(
        self,
        indices: Mapping[str, float],
        unknown: Reason,
        *,
        json_type: Any = SCALAR,
        other: float = _NAN,
        default: Any = None,
    ) -> None:
        super().__init__(json_type, default)
        self._indices = indices
        self._unknown = unknown
        self._other = other

    def index(self, value: Any) -> float:
        text = canonical(value)
        if text is None:
            return _NAN
        for form in (text, text.strip(), _truth_word(text), canonical(number_from_text(text))):
            if form is not None and form in self._indices:
                return self._indices[form]
        return self._other

    def defect(self, name: str, value: Any) -> Defect:
        if canonical(value) is None:
            return super().defect(name, value)
        known = ", ".join(islice(self._indices, _MOST_NAMED)) + (", …" if len(self._indices) > _MOST_NAMED else "")
        return defect(self._unknown, f"{name}: {shown(value)} is not one of {known}")


class BooleanReader(ListedReader):
    """0 or 1, from those numbers, true and false, or their words where all there is is text."""

    def __init__(self, unknown: Reason, default: Any = None) -> None:
        super().__init__(TRUE_OR_FALSE, unknown, json_type=BOOLEAN, default=default)

    def read(self, values: Values) -> Float64:
        if not isinstance(values, np.ndarray):
            return super().read(values)
        filled = np.asarray(_filled(values, self.default))
        return np.where((filled == 0) | (filled == 1), filled, _NAN)[:, None]


def _truth_word(text: str) -> str | None:
    word = text.strip().lower()
    return word if word in TRUE_OR_FALSE else None


def listed(values: Sequence[Any], first: int = 0) -> dict[str, float]:
    """Return the index of each value by its canonical text; true and false go by their words, too."""
    indices: dict[str, float] = {}
    for index, value in enumerate(values, start=first):
        if isinstance(value, bool):
            indices.update((word, float(index)) for word, truth in TRUE_OR_FALSE.items() if truth == value)
        indices[canonical(value) or str(value)] = float(index)
    return indices


class VectorReader:
    """A list of exactly `width` numbers."""

    def __init__(self, width: int, default: Sequence[float] | None = None) -> None:
        self.width = width
        self.json_type: Any = Annotated[list[float], msgspec.Meta(min_length=width, max_length=width)]
        self.default = None if default is None else list(default)

    def read(self, values: Values) -> Float64:
        if self.default is not None:
            values = [self.default if value is None else value for value in values]
        if not (set(map(type, values)) <= _LISTS and set(map(len, values)) <= {self.width}):
            useless = [_NAN] * self.width
            values = [v if type(v) is list and len(v) == self.width else useless for v in values]
        return _numbers(list(chain.from_iterable(values))).reshape(-1, self.width)

    def from_text(self, cells: Sequence[str]) -> Values:
        return list(map(self._list_from_text, cells))

    def _list_from_text(self, cell: str) -> Any:
        if not cell.strip():
            return None
        if not cell.lstrip().startswith("["):
            return list(map(number_from_text, cell.split()))
        try:
            return msgspec.json.decode(cell)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return cell

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a list of {self.width} numbers, got null")
        if not isinstance(value, list):
            return defect(Reason.WRONG_TYPE, f"{name}: expected a list of {self.width} numbers, got {shown(value)}")
        if len(value) != self.width:
            return defect(Reason.WRONG_LENGTH, f"{name}: expected {self.width} numbers, got {len(value)}")
        bad = next(i for i, number in enumerate(value) if not abs(_number(number)) <= _LARGEST_FLOAT32)
        return _number_defect(f"{name}[{bad}]", value[bad], "a number")


class LabelsReader:
    """Zeros and ones for several labels: a list of the names that apply, or a list of as many zeros and ones."""

    default = None
    json_type: Any = list[str | float | bool]

    def __init__(self, names: Sequence[str]) -> None:
        self.width = len(names)
        self._indices = {name: index for index, name in enumerate(names)}

    def read(self, values: Values) -> Float64:
        rows = np.full((len(values), self.width), _NAN)
        for row, value in zip(rows, values, strict=True):
            self._fill(row, value)
        return rows

    def _fill(self, row: Float64, value: Any) -> None:
        if not isinstance(value, list):
            return
        if all(isinstance(item, str) and item in self._indices for item in value):
            row[:] = 0
            row[[self._indices[item] for item in value]] = 1
        elif len(value) == self.width and all(isinstance(item, int | float) and item in (0, 1) for item in value):
            row[:] = value

    def from_text(self, cells: Sequence[str]) -> Values:
        return list(map(self._list_from_text, cells))

    def _list_from_text(self, cell: str) -> Any:
        items = [item.strip() for item in re.split(r"[|;]", cell.strip().removeprefix("[").removesuffix("]"))]
        numbers = [number_from_text(item) for item in items]
        return numbers if all(number in (0, 1) for number in numbers) else [item for item in items if item]

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a list of labels, got null")
        if not isinstance(value, list):
            return defect(Reason.WRONG_TYPE, f"{name}: expected a list of labels, got {shown(value)}")
        if all(isinstance(item, int | float) for item in value) and len(value) != self.width:
            return defect(Reason.WRONG_LENGTH, f"{name}: expected {self.width} zeros and ones, got {len(value)}")
        return defect(Reason.UNKNOWN_LABEL, f"{name}: {shown(value)} holds what is not one of the labels")


_UNITS_PER_SECOND = {"auto": 1.0, "s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_SECOND = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


class TimeReader:
    """Seconds since 1970, from a number in some unit or from ISO 8601 text; without an offset it is UTC."""

    width = 1
    default = None

    def __init__(self, unit: str) -> None:
        self._per_second = _UNITS_PER_SECOND.get(unit)
        self._takes_text = unit in {"auto", "iso"}
        types = {"auto": float | str, "iso": str}
        self.json_type: Any = types.get(unit, float)

    def read(self, values: Values) -> Float64:
        return self.seconds(values)[:, None]

    def seconds(self, values: Values) -> Float64:
        """Return an array (n,), NaN outside the years 1 to 9999."""
        if isinstance(values, np.ndarray) or set(map(type, values)) <= _NUMBERS:
            seconds = _numbers(values) / (self._per_second or _NAN)
        else:
            seconds = np.fromiter(map(self._second, values), np.float64, len(values))
        return np.where((seconds >= _FIRST_SECOND) & (seconds <= _LAST_SECOND), seconds, _NAN)

    def _second(self, value: Any) -> float:
        if isinstance(value, str):
            return _iso_seconds(value) if self._takes_text else _NAN
        if isinstance(value, date):  # or a datetime, which is one
            return _iso_seconds(value.isoformat())
        return _number(value) / (self._per_second or _NAN)

    def from_text(self, cells: Sequence[str]) -> Values:
        if self._per_second is None:
            return [cell.strip() or None for cell in cells]
        return _numbers_from_text(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a time, got null")
        if isinstance(value, float) and not math.isfinite(value):
            return defect(Reason.NOT_FINITE, f"{name}: {value} is not finite")
        if self._per_second is not None and not math.isnan(_number(value)):
            return defect(Reason.OUT_OF_RANGE, f"{name}: {shown(value)} is outside the years 1 to 9999; see its unit")
        return defect(Reason.WRONG_TYPE, f"{name}: expected a time, got {shown(value)}")


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return _NAN


class CyclicReader(TimeReader):
    """How far some periods have run at a time, each as the sine and cosine of a full turn."""

    def __init__(self, unit: str, parts: Sequence[str]) -> None:
        super().__init__(unit)
        self.width = 2 * len(parts)
        self._parts = parts

    def read(self, values: Values) -> Float64:
        seconds = self.seconds(values)
        usable = np.isfinite(seconds)
        turns = _turns(np.where(usable, seconds, 0.0), self._parts) * (2 * math.pi)
        both = np.stack([np.sin(turns), np.cos(turns)], axis=-1).reshape(len(seconds), self.width)
        both[~usable] = _NAN
        return both


def _turns(seconds: Float64, parts: Sequence[str]) -> Float64:
    """Return (n, parts), each in [0, 1): the share of the hour, day, week, month or year that has run."""
    return np.stack([_TURNS[part](seconds) for part in parts], axis=-1)


def _calendar_turn(seconds: Float64, unit: Literal["M", "Y"]) -> Float64:
    """Return the share of the calendar's month or year that has run."""
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


def finite_as_float32(numbers: Float64) -> NDArray[np.bool_]:
    """Return whether each number stays finite when it is cast."""
    with np.errstate(over="ignore"):
        return np.isfinite(numbers.astype(np.float32))
