"""Rows of a columnar file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from learnd.daemon.values.arrays import Int64

if TYPE_CHECKING:
    import pyarrow as pa  # whoever holds rows of Arrow has loaded it; nobody else waits for it


class Columnar(Sequence[Mapping[str, Any]]):
    """Rows of Arrow columns, of which each becomes a mapping only when it is looked at.

    Whoever makes one has checked that each value has a value in Python.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    @classmethod
    def picked(cls, parts: Sequence[Columnar], places: Int64) -> Columnar:
        """Return the rows at some places among those of all parts, of the same schema, in the order of the places."""
        import pyarrow as pa

        firsts = np.cumsum([0, *map(len, parts)])
        of = np.searchsorted(firsts, places, side="right") - 1
        by_part = np.argsort(of, kind="stable")
        taken = [parts[part].batch.take(places[of == part] - firsts[part]) for part in np.unique(of)]
        back = np.empty_like(by_part)
        back[by_part] = np.arange(len(places))
        return cls(pa.concat_batches(taken).take(back))

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
