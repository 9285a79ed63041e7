"""Rows of a columnar file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import pyarrow as pa  # whoever holds rows of Arrow has loaded it; nobody else waits for it


class Columnar(Sequence[Mapping[str, Any]]):
    """Rows of Arrow columns, of which each becomes a mapping only when it is looked at.

    Whoever makes one has checked that each value has a value in Python.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.batch.to_pylist())

    @overload
    def __getitem__(self, rows: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, rows: slice) -> Columnar: ...

    def __getitem__(self, rows: int | slice) -> Mapping[str, Any] | Columnar:
        if isinstance(rows, slice):
            first, last, step = rows.indices(len(self))
            assert step == 1, "rows of a batch are cut, never picked"
            return Columnar(self.batch.slice(first, max(last - first, 0)))
        row: Mapping[str, Any] = self.batch.slice(range(len(self))[rows], 1).to_pylist()[0]
        return row
