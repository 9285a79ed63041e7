"""Reads the rows of a Parquet file, column by column; positions are row numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from learnd.connectors.files.content import Prints
from learnd.connectors.files.endings import Ending
from learnd.connectors.files.lines import BATCH_RECORDS, UnreachableError
from learnd.connectors.files.splitters import KEPT_BYTES, Records
from learnd.daemon.values import Columnar, Defect, RecordFormat

_MAGIC = b"PAR1"
# What pyarrow raises on damaged data: ArrowInvalid is a ValueError, a failed read an OSError.
_DAMAGE = (pa.ArrowException, ValueError, OSError)
# What Python raises on text that is not UTF-8, and on a time outside the years 1 to 9999.
_NO_VALUE = (ValueError, OverflowError)


class ParquetReader:
    """Reads one row group after the other. A damaged row group is one record with a defect.

    A file without its footer is not finished: the reader waits for it, or reports it as broken if the file is final.
    """

    columns: tuple[str, ...] | None = None
    head_end = 0

    def __init__(self, descriptor: int, fmt: RecordFormat, position: int) -> None:
        self._descriptor = descriptor
        self._fields = fmt.fields
        self._handle = os.fdopen(descriptor, "rb", closefd=False)
        self._file: pq.ParquetFile | None = None
        self.ending: Ending | None = None
        self.seek(position)

    def seek(self, position: int) -> None:
        self.position = position
        self.drained = False
        self._rows: Iterator[Records] | None = None

    def rest_after(self, ending: Ending, final: bool) -> int | None:  # noqa: ARG002  (a file is readable, or not)
        """Return the first row if a file that could not be read now can."""
        position, self.position = self.position, ending.start
        self._open(final=False)
        self.position = position
        return position if self._file is None else ending.start

    def close(self) -> None:
        self._rows = self._file = None
        self._handle.close()

    @property
    def ended(self) -> bool:
        return self._file is not None and self.position >= self._file.metadata.num_rows

    @property
    def consumed(self) -> int:
        return self.position

    @property
    def held(self) -> int:
        return 0

    def prints(self) -> Prints:
        return {}

    @property
    def total(self) -> int:
        """The number of rows; 0 while the footer cannot be read."""
        return 0 if self._file is None else int(self._file.metadata.num_rows)

    def step(self, final: bool, limit: int | None = None) -> Records | None:
        if self._file is None and (broken := self._open(final)) is not None:
            return broken
        if self._file is None or self.position == limit:
            self.drained = True
            return None
        if self._rows is None:
            self._rows = self._read(self._file)
        records = next(self._rows, None)
        self.drained = records is None
        return None if records is None else self._up_to(limit, records)

    def _up_to(self, limit: int | None, records: Records) -> Records:
        if limit is not None and int(records.ends[-1]) > limit:
            records = records.slices(limit - records.start)[0]
            self._rows = None
        self.position = int(records.ends[-1])
        return records

    def _open(self, final: bool) -> Records | None:
        """Open the file; if it can never be opened, return the one record that says so."""
        size = os.fstat(self._descriptor).st_size
        finished = size >= len(_MAGIC) and os.pread(self._descriptor, 4, size - 4) == _MAGIC
        if size == 0 or not (finished or final) or (self.position > 0 and not finished):
            return None
        try:
            self._file = pq.ParquetFile(self._handle, pre_buffer=False)
        except _DAMAGE as error:
            return self._broken_file("corrupt" if finished else "truncated", error)
        self.columns = tuple(self._file.schema_arrow.names)
        if self.position > self.total:
            raise UnreachableError(self.total)
        return None

    def _broken_file(self, reason: str, error: Exception) -> Records | None:
        if self.position > 0:
            return None  # reported before
        self.position = 1
        self.ending = Ending(0, 1, rejected=True)
        head = os.pread(self._descriptor, KEPT_BYTES, 0)
        return Records(0, np.array([1], np.int64), [head], {0: Defect(reason, f"not a readable Parquet file: {error}")})

    def _read(self, file: pq.ParquetFile) -> Iterator[Records]:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if self.position < end:
                yield from self._read_group(file, group, first, end)
            first = end

    def _read_group(self, file: pq.ParquetFile, group: int, first: int, end: int) -> Iterator[Records]:
        row, wanted = first, self.position
        used = None if self._fields is None else [name for name in self.columns or () if name in self._fields]
        try:
            for batch in file.iter_batches(BATCH_RECORDS, row_groups=[group], columns=used):
                skipped = min(max(wanted - row, 0), batch.num_rows)
                row += skipped
                if skipped < batch.num_rows:
                    yield _records(_in_microseconds(batch.slice(skipped)), row)
                    row += batch.num_rows - skipped
        except _DAMAGE as error:
            at = max(row, wanted)
            defect = Defect("corrupt", f"rows {at} to {end - 1} cannot be read: {error}")
            yield Records(at, np.array([end], np.int64), [b""], {0: defect})


def _in_microseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Cut nanoseconds off all times: Python has no value for them."""
    kinds = [_coarse(column.type) for column in batch.columns]
    if kinds == batch.schema.types:
        return batch
    columns = [column.cast(kind, safe=False) for column, kind in zip(batch.columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _coarse(kind: Any) -> Any:
    """Return the type with microseconds in place of nanoseconds, inside lists and structs too."""
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_coarse(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_coarse(kind.value_type)))
    return kind


def _records(batch: pa.RecordBatch, start: int) -> Records:
    ends = np.arange(start + 1, start + batch.num_rows + 1, dtype=np.int64)
    if all(map(_has_values, batch.columns)):
        return Records(start, ends, Columnar(batch))
    values: list[Mapping[str, Any]] = []
    defects = {}
    for index in range(batch.num_rows):
        try:
            values.extend(batch.slice(index, 1).to_pylist())
        except _NO_VALUE as error:
            values.append({})
            defects[index] = Defect("corrupt", f"row {start + index} cannot be read: {error}")
    return Records(start, ends, values, defects)


def _has_values(column: pa.Array) -> bool:
    """Whether each value of a column has a value in Python. Numbers and bytes always have one."""
    kind = column.type
    innermost = kind.value_type if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) else kind
    if pa.types.is_integer(innermost) or pa.types.is_floating(innermost) or pa.types.is_boolean(innermost):
        return True
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            column.validate(full=True)  # whether it is UTF-8
        elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            compute.min_max(column).as_py()  # what is between two times has a value if they have
        else:
            column.to_pylist()
    except _NO_VALUE:
        return False
    return True
