"""Rows with names: of a columnar file, or of messages that were decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa

from learnd.daemon.stream.decoding.columns import BOOLEAN, FromText, Values, repeated
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.fields import Field, Path
from learnd.daemon.stream.decoding.parsing import Defects, Rows
from learnd.daemon.values import Columnar, Defect, Float64, RecordBatch


class MappingRows:
    """Rows as mappings."""

    def __init__(self, mappings: Sequence[Mapping[str, Any]]) -> None:
        self._mappings = mappings

    def column(self, path: Path, from_text: FromText) -> Values:  # noqa: ARG002
        if len(path) == 1:
            return [mapping.get(path[0]) for mapping in self._mappings]
        return [reduce(_inside, path, mapping) for mapping in self._mappings]

    def value(self, row: int, path: Path, from_text: FromText) -> Any:  # noqa: ARG002
        return reduce(_inside, path, self._mappings[row])

    def absence(self, row: int, path: Path) -> str | None:
        holder = reduce(_inside, path[:-1], self._mappings[row])
        return None if isinstance(holder, Mapping) and path[-1] in holder else "missing"


def _inside(value: Any, step: str) -> Any:
    return value.get(step) if isinstance(value, Mapping) else None


class ColumnarRows:
    """Rows as columns of Arrow. A row becomes a mapping only to say what is wrong with it."""

    def __init__(self, rows: Columnar, fields: Mapping[Path, Field]) -> None:
        self._rows = rows
        self._fields = fields

    def column(self, path: Path, from_text: FromText) -> Values:  # noqa: ARG002
        batch = self._rows.batch
        places = batch.schema.get_all_field_indices(path[0])
        if not places:
            return [None] * len(self._rows)
        column = batch.column(places[-1])  # as in a mapping, the last of a name counts
        if len(path) > 1:
            return [reduce(_inside, path[1:], value) for value in column.to_pylist()]
        expected = self._fields[path].json_type
        return _numbers(column) if column.type in _NUMBERS.get(expected, ()) else _values(column)

    def value(self, row: int, path: Path, from_text: FromText) -> Any:
        return MappingRows(self._rows[row : row + 1]).value(0, path, from_text)

    def absence(self, row: int, path: Path) -> str | None:
        return MappingRows(self._rows[row : row + 1]).absence(0, path)


class MappingParser:
    """Parses one mapping per record, from a columnar file or a decoded message."""

    def __init__(self, fields: Mapping[Path, Field], *, forbid_extra: bool) -> None:
        self._fields = fields
        self._known = {path[0] for path in fields}
        self._forbid_extra = forbid_extra

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        values: Sequence[Any] = batch.values
        if isinstance(values, Columnar) and not defects and self._defect(values[0]) is None:
            return ColumnarRows(values, self._fields)  # all rows have the names of the first
        for index, value in enumerate(values):
            if index not in defects and (found := self._defect(value)):
                defects[index] = found
        return MappingRows([value for index, value in enumerate(values) if index not in defects])

    def _defect(self, value: Any) -> Defect | None:
        if not isinstance(value, Mapping):
            return defect(Reason.NOT_AN_OBJECT, f"expected a row, got {shown(value)}")
        if self._forbid_extra and not value.keys() <= self._known:
            return defect(
                Reason.EXTRA, f"columns that the settings do not name: {shown(sorted(value.keys() - self._known))}"
            )
        return None


_WHOLE = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_NUMBERS: Mapping[Any, tuple[pa.DataType, ...]] = {
    float: (pa.float64(), pa.float32(), *_WHOLE),
    BOOLEAN: (pa.bool_(), pa.float64(), pa.float32(), *_WHOLE),
}
"""By the type that a field is expected to have, the types of columns that can be taken for numbers as they are."""


def _numbers(column: pa.Array) -> Float64:
    """Return the numbers of a column, with NaN for null: readers tell them apart only to say what is wrong."""
    if column.null_count:
        column = column.cast(pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _values(column: pa.Array) -> Values:
    """Return the values of a column as Python has them: each distinct one once, where Arrow can tell them apart."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_nested(column.type):
        column = column.dictionary_encode("encode")
        return repeated(column.dictionary.to_pylist(), column.indices.to_numpy())
    values: list[Any] = column.to_pylist()
    return values
