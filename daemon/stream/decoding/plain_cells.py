"""Rows of CSV in which nothing is unusual, read all at once by Arrow, which needs no lock of the interpreter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import csv

from learnd.daemon.stream.decoding.columns import FromText, Values, repeated
from learnd.daemon.stream.decoding.texts import NO_SIGN, Texts
from learnd.daemon.values import Float64

_BOM = b"\xef\xbb\xbf"  # Arrow would drop it
_TEXT = pa.dictionary(pa.int32(), pa.string())


class PlainCells:
    """Columns by name: numbers as such, with null for those that are missing, and all others as text."""

    def __init__(self, columns: Mapping[str, pa.Array]) -> None:
        self._columns = columns

    def column(self, name: str, from_text: FromText) -> Values | None:
        """Return the values of a column, where the texts are not numbers yet by `from_text`; None without a column."""
        column = self._columns.get(name)
        if column is None:
            return None
        if column.type == pa.float64():
            numbers: Float64 = column.to_numpy(zero_copy_only=False) + NO_SIGN
            return numbers
        return repeated(from_text(column.dictionary.to_pylist()), column.indices.to_numpy())

    @property
    def finite(self) -> bool:
        """Whether no number is NaN or infinite."""
        numbers = (column for column in self._columns.values() if column.type == pa.float64())
        return all(np.isfinite(column.drop_null().to_numpy()).all() for column in numbers)


class PlainReader:
    """Reads a block of rows if it is plain: in UTF-8, a line for each row, which is not empty and has as many cells as
    the header, none of them in quotes; and where numbers are expected, those that Arrow reads as Python does, or a
    word for none.
    """

    def __init__(
        self, used: Collection[str], numbers: Collection[str], texts: Texts, delimiter: str, *, quoted: bool
    ) -> None:
        """`used` are the columns to read, and `numbers` those in which numbers are expected."""
        missing = texts.missing_numbers
        self._used = used
        self._numbers = frozenset(numbers) if missing is not None else frozenset()
        self._missing = sorted(missing or ())
        self._quoted = quoted
        self._parsing = None
        if len(delimiter.encode()) == 1:
            self._parsing = csv.ParseOptions(delimiter=delimiter, quote_char=False, ignore_empty_lines=False)

    def read(self, values: Sequence[bytes], header: Sequence[str]) -> PlainCells | None:
        """Return the columns of the rows; None if they need a closer look."""
        data = b"\n".join(values) + b"\n"
        if self._parsing is None or not header or not self._is_plain(data, len(values)):
            return None
        cells = self._cells(data, len(values), header)
        return cells if cells is not None and cells.finite else None

    def _is_plain(self, data: bytes, rows: int) -> bool:
        one_line_each = data.count(b"\n") == rows and b"\r" not in data
        empty = data.startswith(b"\n") or b"\n\n" in data  # to Arrow, a row in which each cell is missing
        quotes = self._quoted and b'"' in data
        return one_line_each and not empty and not quotes and not data.startswith(_BOM) and _is_utf8(data)

    def _cells(self, data: bytes, rows: int, header: Sequence[str]) -> PlainCells | None:
        places = {name: str(place) for place, name in enumerate(header) if name in self._used}  # the last of a name
        converting = csv.ConvertOptions(
            column_types={place: pa.float64() if name in self._numbers else _TEXT for name, place in places.items()},
            include_columns=list(places.values()),
            null_values=self._missing,
            strings_can_be_null=False,
            check_utf8=False,
        )
        reading = csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=list(map(str, range(len(header))))
        )
        try:
            table = csv.read_csv(pa.BufferReader(data), reading, self._parsing, converting)
        except pa.ArrowInvalid:
            return None
        if table.num_rows != rows or not places:
            return None
        return PlainCells({name: table.column(place).combine_chunks() for name, place in places.items()})


def _is_utf8(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
