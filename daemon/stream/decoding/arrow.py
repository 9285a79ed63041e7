"""Columns of Arrow as the values that readers read: most of them are arrays that need no object for each record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from learnd.daemon.stream.decoding.columns import BOOLEAN, TEXT_OR_NUMBER, Values, repeated

_LARGEST_EXACT = 2**53  # microseconds, up to the year 2255: as a float they are the same

# Arrow cannot encode others, or takes null for a value of theirs, or 0 and -0 for the same.
_TOLD_APART = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_decimal128,
)

Array = NDArray[Any]


def array_of(column: pa.Array, expected: Any) -> Array | None:
    """Return a column as an array (n, ...), if it is of the kind that a field of the `expected` type has; else None."""
    if get_origin(expected) is Annotated and get_args(expected)[0] == list[float]:
        return _lists(column)
    convert = _CONVERTERS.get(expected)
    return None if convert is None else convert(column)


def values_of(column: pa.Array) -> Values:
    """Return the values of a column as Python has them: each distinct one once, where Arrow can tell them apart."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if any(is_kind(column.type) for is_kind in _TOLD_APART):
        column = column.dictionary_encode("encode")
        return repeated(column.dictionary.to_pylist(), column.indices.to_numpy())
    values: list[Any] = column.to_pylist()
    return values


def _numbers(column: pa.Array) -> Array | None:
    kind = column.type
    if not (pa.types.is_integer(kind) or kind in (pa.float64(), pa.float32())):
        return None
    if column.null_count:
        column = column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _truths(column: pa.Array) -> Array | None:
    return _numbers(column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column)


def _times(column: pa.Array) -> Array | None:
    if not pa.types.is_timestamp(column.type):
        return None
    ends = compute.min_max(column.cast(pa.timestamp("us")).cast(pa.int64())).as_py()
    if any(abs(end or 0) > _LARGEST_EXACT for end in ends.values()):
        return None
    times: Array = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    return times


def _lists(column: pa.Array) -> Array | None:
    """Return lists of numbers as rows, if all are of the same length and none is null."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    numbers = column.flatten()
    width, rest = divmod(len(numbers), len(column))
    if (
        rest
        or not width
        or column.null_count
        or numbers.null_count
        or len(compute.list_value_length(column).unique()) > 1
    ):
        return None
    found = _numbers(numbers)
    return None if found is None else found.reshape(-1, width)


_CONVERTERS: dict[Any, Callable[[pa.Array], Array | None]] = {
    float: _numbers,
    BOOLEAN: _truths,
    TEXT_OR_NUMBER: _times,
    str: _times,
}
