"""Rows of a columnar file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

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
    def joined(cls, parts: Sequence[Columnar]) -> Columnar:
        """Return the rows of all parts, of the same columns, in this order. There must be at least one part."""
        import pyarrow as pa

        return cls(_as_one(pa.Table.from_batches([part.batch for part in parts])))

    def picked(self, rows: Int64) -> Columnar:
        """Return the rows at some places, in their order."""
        return Columnar(self.batch.take(rows))

    def digest(self) -> str:
        """Return a SHA-256 over the columns and their values."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.batch.schema) as stream:
            stream.write_batch(self.batch)
        return hashlib.sha256(sink.getvalue()).hexdigest()

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


def _as_one(table: pa.Table) -> pa.RecordBatch:
    """Return the rows of a table as one batch."""
    batch: pa.RecordBatch = table.combine_chunks().to_batches(max_chunksize=max(1, table.num_rows))[0]
    return batch
