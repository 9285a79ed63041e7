"""Rows of CSV in which nothing is unusual, read all at once by Arrow, which needs no lock of the interpreter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import compute, csv

from learnd.daemon.stream.decoding.columns import FromText, Values, repeated
from learnd.daemon.stream.decoding.texts import NO_SIGN, Texts
from learnd.daemon.values import Float64

_BOM = b"\xef\xbb\xbf"  # Arrow would drop it
_LINE_FEED = 10
_MOST_BYTES = 2**31 - 2  # Arrow counts those of a block in 32 bits
_TEXT = pa.dictionary(pa.int32(), pa.string())


class PlainCells:
    """Columns by name: of numbers, with null for those that are missing, or of texts."""

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
        if column.type == pa.string():
            return from_text(column.to_pylist())
        return repeated(from_text(column.dictionary.to_pylist()), column.indices.to_numpy())


class PlainReader:
    """Reads a block of rows if it is plain: in UTF-8, a line for each row, which is not empty and has as many cells as
    the header, none of them in quotes. Where numbers are expected, a column has all of its cells as texts if one is
    neither a word for none nor a number that Arrow reads as Python does.
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
        if self._parsing is None or not header or not all(values):  # to Arrow, an empty row is one of missing cells
            return None
        data = b"\n".join(values) + b"\n"
        if len(data) >= _MOST_BYTES or not self._is_plain(data, len(values)):
            return None
        columns = self._columns(data, len(values), header, pa.float64())
        if columns is None or not all(map(_finite, columns.values())):
            columns = self._columns(data, len(values), header, pa.string())
            columns = columns and {name: self._as_numbers(column) for name, column in columns.items()}
        return PlainCells(columns) if columns else None

    def _is_plain(self, data: bytes, rows: int) -> bool:
        feeds = np.count_nonzero(np.frombuffer(data, np.uint8) == _LINE_FEED)  # much faster than `bytes.count`
        quotes = self._quoted and b'"' in data
        return feeds == rows and b"\r" not in data and not quotes and not data.startswith(_BOM) and _is_utf8(data)

    def _columns(
        self, data: bytes, rows: int, header: Sequence[str], numbers: pa.DataType
    ) -> dict[str, pa.Array] | None:
        """Return the columns that are used, with numbers as this type; None if Arrow cannot read the rows so."""
        places = {name: str(place) for place, name in enumerate(header) if name in self._used}  # the last of a name
        reading = csv.ReadOptions(
            use_threads=False, block_size=len(data) + 1, column_names=list(map(str, range(len(header))))
        )
        converting = csv.ConvertOptions(
            column_types={place: numbers if name in self._numbers else _TEXT for name, place in places.items()},
            include_columns=list(places.values()),
            null_values=self._missing,
            strings_can_be_null=False,
            check_utf8=False,
        )
        try:
            table = csv.read_csv(pa.BufferReader(data), reading, self._parsing, converting)
        except pa.ArrowInvalid:
            return None
        if table.num_rows != rows:
            return None
        return {name: table.column(place).chunk(0) for name, place in places.items()}

    def _as_numbers(self, column: pa.Array) -> pa.Array:
        """Return texts as numbers; unchanged if they are not expected to be numbers, or if one is none."""
        if column.type != pa.string():
            return column
        missing = compute.is_in(column, pa.array(self._missing, pa.string()))
        try:
            numbers = compute.if_else(missing, pa.scalar(None, pa.string()), column).cast(pa.float64())
        except pa.ArrowInvalid:
            return column
        return numbers if _finite(numbers) else column


def _finite(column: pa.Array) -> bool:
    """Whether there is no NaN or infinity, if these are numbers: not all that Arrow takes for one is one in Python."""
    if column.type != pa.float64():
        return True
    finite = np.count_nonzero(np.isfinite(column.to_numpy(zero_copy_only=False)))
    return int(finite) == len(column) - int(column.null_count)


def _is_utf8(data: bytes) -> bool:
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
