"""Rows with names: of a columnar file, or of messages that were decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from learnd.daemon.stream.decoding.arrow import array_of, values_of
from learnd.daemon.stream.decoding.columns import FromText, Values
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.fields import Field, Path
from learnd.daemon.stream.decoding.parsing import Defects, Rows
from learnd.daemon.values import Columnar, Defect, RecordBatch


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
        array = array_of(column, self._fields[path].json_type)
        return values_of(column) if array is None else array

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
