"""Rows of CSV. Most blocks of rows are plain, and are read all at once; in all others, each row is cut by itself."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from learnd.daemon.stream.decoding.columns import FromText, Values, only
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.fields import Field, Path
from learnd.daemon.stream.decoding.parsing import Defects, Rows, encoding_defect
from learnd.daemon.stream.decoding.plain_cells import PlainCells, PlainReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect, RecordBatch


class RowCutter:
    """Cuts one row into its cells."""

    def __init__(self, delimiter: str, *, quoted: bool = True) -> None:
        self._delimiter = delimiter
        self._quoted = quoted

    def cut(self, value: bytes, width: int) -> list[str] | Defect:
        """Return the cells of a row, which should be `width`, or what is wrong with it."""
        if found := encoding_defect(value):
            return found
        text = value.decode().rstrip("\r\n")
        has_quotes = self._quoted and '"' in text
        try:
            row = _quoted_row(text, self._delimiter) if has_quotes else text.split(self._delimiter)
        except csv.Error as error:
            return defect(Reason.BAD_CSV, str(error))
        if len(row) != width:
            return defect(Reason.WRONG_COLUMN_COUNT, f"the header has {width} columns, the row has {len(row)}")
        return row


def _quoted_row(text: str, delimiter: str) -> list[str]:
    """Return the cells of a row with quotes. Raises csv.Error if a quote is not closed, or for more than one row."""
    first, *more = csv.reader([text], delimiter=delimiter, strict=True)
    if more:
        raise csv.Error("more than one row")
    return first


class CutRows:
    """Rows that were cut one by one."""

    def __init__(self, rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
        cells = zip(*rows, strict=True) if rows else [()] * len(header)
        self._columns = dict(zip(header, cells, strict=True))
        self._count = len(rows)

    def column(self, path: Path, from_text: FromText) -> Values:
        cells = self._columns.get(path[0])
        return [None] * self._count if cells is None else from_text(cells)

    def value(self, row: int, path: Path, from_text: FromText) -> Any:
        cells = self._columns.get(path[0])
        return None if cells is None else only(from_text([cells[row]]))

    def absence(self, row: int, path: Path) -> str | None:  # noqa: ARG002
        return "missing: its cell is empty or stands for no value" if path[0] in self._columns else "missing"


class PlainRows:
    """Rows that were read all at once. One is cut only to say what is wrong with it."""

    def __init__(self, cells: PlainCells, batch: RecordBatch, cutter: RowCutter) -> None:
        self._cells = cells
        self._batch = batch
        self._cutter = cutter

    def column(self, path: Path, from_text: FromText) -> Values:
        values = self._cells.column(path[0], from_text)
        return [None] * len(self._batch) if values is None else values

    def value(self, row: int, path: Path, from_text: FromText) -> Any:
        return self._cut(row).value(0, path, from_text)

    def absence(self, row: int, path: Path) -> str | None:
        return self._cut(row).absence(0, path)

    def _cut(self, row: int) -> CutRows:
        value, header = self._batch.values[row], self._batch.columns or ()
        assert isinstance(value, bytes), "a row of CSV"
        cells = self._cutter.cut(value, len(header))
        assert not isinstance(cells, Defect), "a plain row has a cell for each column"
        return CutRows([cells], header)


class CsvParser:
    """Parses one row of cells per record, under the header of its file."""

    def __init__(
        self, fields: Mapping[Path, Field], texts: Texts, delimiter: str, *, forbid_extra: bool, quoted: bool
    ) -> None:
        self._known = {path[0] for path in fields}
        self._forbid_extra = forbid_extra
        self._cutter = RowCutter(delimiter, quoted=quoted)
        numbers = {path[0] for path, field in fields.items() if field.json_type is float}
        self._plain = PlainReader(self._known, numbers, texts, delimiter, quoted=quoted)

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        header = batch.columns or ()
        if self._forbid_extra and (extra := sorted(set(header) - self._known)):
            found = defect(Reason.EXTRA, f"the header has columns that the settings do not name: {shown(extra)}")
            defects.update({index: found for index in range(len(batch)) if index not in defects})
        values: Sequence[Any] = batch.values
        if not defects and (cells := self._plain.read(values, header)) is not None:
            return PlainRows(cells, batch, self._cutter)
        return CutRows(list(self._rows(values, len(header), defects)), header)

    def _rows(self, values: Sequence[bytes], width: int, defects: Defects) -> Iterator[list[str]]:
        for index, value in enumerate(values):
            if index not in defects:
                row = self._cutter.cut(value, width)
                if isinstance(row, Defect):
                    defects[index] = row
                else:
                    yield row
