"""Splitters cut a stream of bytes into records, with the offset after each. Well-formed lines need no Python loop.

A line feed ends a record, and a carriage return before it is dropped. So is a byte order mark at its start, which files
have that were made of several. Empty lines are no records: they belong to the
span of the record after them. In CSV a line feed inside quotes is part of the field (RFC 4180). What becomes a record
depends only on the bytes, never on the pieces in which they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnd.daemon.values import Defect, Int64

KEPT_BYTES = 1024  # of a record that is too long to keep
BOM = b"\xef\xbb\xbf"
_LINE_FEED = 10
_QUOTE = 34


@dataclass(frozen=True, slots=True)
class Records:
    """n >= 1 consecutive records, the first from position `start`."""

    start: int
    ends: Int64  # (n,)
    values: Sequence[bytes] | Sequence[Mapping[str, Any]]
    defects: Mapping[int, Defect] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def slices(self, size: int) -> list[Records]:
        """Return the same records in runs of at most `size`."""
        if len(self) <= size:
            return [self]
        return [self._slice(first, min(first + size, len(self))) for first in range(0, len(self), size)]

    def _slice(self, first: int, last: int) -> Records:
        start = self.start if first == 0 else int(self.ends[first - 1])
        defects = {i - first: d for i, d in (self.defects or {}).items() if first <= i < last}
        return Records(start, self.ends[first:last], self.values[first:last], defects or None)


class LineSplitter:
    """Cuts bytes, fed in any pieces, into lines. Holds at most `max_record_bytes` and one piece in memory."""

    def __init__(self, position: int, offset: int, max_record_bytes: int) -> None:
        """`position` is where the first record starts, `offset` that of the first byte to be fed."""
        self._position = position
        self._offset = offset  # of the first byte of the tail
        self._max = max_record_bytes
        self._kept = min(KEPT_BYTES, max_record_bytes)
        self._tail = b""
        self._skipped = 0  # bytes read of a line that is already too long; the tail is then its head

    @property
    def unfinished(self) -> bool:
        """Whether there are bytes after the last line feed."""
        return bool(self._tail or self._skipped)

    def feed(self, data: bytes) -> list[Records]:
        """Return the records that `data` completes."""
        found: list[Records] = []
        if self._skipped:
            data = self._skip(data, found)
        if data:
            self._cut(self._tail + data if self._tail else data, found)
        return found

    def finish(self, defect: Defect | None = None) -> list[Records]:
        """Return what is left at the end of the stream: a last line without its line feed, or nothing.

        A defect says that the stream broke off here. Then there always is a record, and it ends one position after
        the last byte, which tells a resume that the break was already reported.
        """
        found: list[Records] = []
        if self._skipped:
            self._emit_oversized(self._skipped, self._offset + self._skipped, found)
        if defect is not None:
            self._emit(self._tail[: self._kept], self._offset + len(self._tail) + 1, found, defect)
        elif value := self._tail.removesuffix(b"\r").removeprefix(BOM):
            self._emit(value, self._offset + len(self._tail), found)
        self._offset += len(self._tail)
        self._tail = b""
        return found

    def _boundaries(self, data: bytes) -> Int64:
        """Return the indices of the line feeds that end a record; `data` starts at the beginning of one."""
        feeds: Int64 = np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_FEED)
        return feeds

    def _cut(self, data: bytes, found: list[Records]) -> None:
        feeds = self._boundaries(data)
        if len(feeds):
            self._split(data, feeds, found)
            data = data[int(feeds[-1]) + 1 :]
        self._hold(data)

    def _split(self, data: bytes, feeds: Int64, found: list[Records]) -> None:
        """Turn the lines that end at `feeds` into records."""
        base = self._offset
        ends = feeds + (base + 1)
        block = data[: int(feeds[-1])]
        values = _split_at(block, feeds)
        lengths = _lengths(feeds)
        if b"\r" in block:
            values = [value.removesuffix(b"\r") for value in values]
        if not block.isascii() and BOM in block:  # the first test is much faster
            values = [value.removeprefix(BOM) for value in values]
        defects = self._too_long(lengths, values)
        if int(lengths.min()) <= len(BOM) + 1 and not all(values):
            kept = [index for index, value in enumerate(values) if value]
            defects = {new: defects[old] for new, old in enumerate(kept) if old in defects}
            values, ends = [values[index] for index in kept], ends[kept]
        self._offset = base + int(feeds[-1]) + 1
        if values:
            found.append(Records(self._position, ends, values, defects or None))
            self._position = int(ends[-1])

    def _too_long(self, lengths: Int64, values: list[bytes]) -> dict[int, Defect]:
        if int(lengths.max()) <= self._max:
            return {}
        defects = {}
        for index in np.flatnonzero(lengths > self._max).tolist():
            values[index] = values[index][: self._kept]
            defects[index] = self._oversized(int(lengths[index]))
        return defects

    def _hold(self, tail: bytes) -> None:
        """Keep the unfinished line `tail` for later, or only its head if it is too long already."""
        self._tail = tail
        if len(tail) > self._max:
            self._skipped, self._tail = len(tail), tail[: self._kept]

    def _skip(self, data: bytes, found: list[Records]) -> bytes:
        """Skip the rest of a line that is too long, and return the bytes after it."""
        feed = data.find(b"\n")
        if feed < 0:
            self._skipped += len(data)
            return b""
        length = self._skipped + feed
        self._emit_oversized(length, self._offset + length + 1, found)
        return data[feed + 1 :]

    def _emit_oversized(self, length: int, end: int, found: list[Records]) -> None:
        self._emit(self._tail, end, found, self._oversized(length))
        self._offset, self._tail, self._skipped = end, b"", 0

    def _emit(self, value: bytes, end: int, found: list[Records], defect: Defect | None = None) -> None:
        ends = np.array([end], np.int64)
        found.append(Records(self._position, ends, [value], {0: defect} if defect else None))
        self._position = end

    def _oversized(self, length: int) -> Defect:
        return Defect("oversized", f"a line of {length} bytes is over the limit of {self._max} bytes")


class CsvSplitter(LineSplitter):
    """Cuts bytes into CSV records, in which a quoted field may hold line feeds.

    A quote that opens a field must close it: before a delimiter or the end of a line, within `max_record_bytes`, and in
    a row of as many cells as the header has. If a record of several lines is not like that, the quote is a stray one:
    only the first line is rejected, and the next record starts after that line, so that a stray quote swallows nothing.
    """

    def __init__(
        self, position: int, offset: int, max_record_bytes: int, delimiter: str, width: int | None = None
    ) -> None:
        """`width` is how many cells a row has; None if that is not known yet."""
        super().__init__(position, offset, max_record_bytes)
        self._delimiter = delimiter.encode()
        mark = re.escape(self._delimiter)
        # A line that ends inside a quoted field: whole fields, then a quote that is not closed. The possessive
        # quantifiers keep it linear in the length of the line.
        self._ends_open = re.compile(
            rb'((?:(?:"(?:[^"]|"")*+"[^%b]*+|(?!")[^%b]*+)%b)*+)"(?:[^"]|"")*+' % (mark, mark, mark)
        )
        field = rb'(?:"(?:[^"]|"")*+"|(?!")[^%b]*+)' % mark
        times = b"*+" if width is None else b"{%d}+" % (width - 1)
        self._row = re.compile(rb"(?:%b%b)%b%b\r?" % (field, mark, times, field))

    def finish(self, defect: Defect | None = None) -> list[Records]:
        found: list[Records] = []
        while defect is None and not self._skipped and self._opens_stray(self._tail):
            rest = self._drop_first_line(self._tail, found)
            self._tail = b""
            self._cut(rest, found)
        return found + super().finish(defect)

    def _boundaries(self, data: bytes) -> Int64:
        feeds = super()._boundaries(data)
        if b'"' not in data:
            return feeds
        bytes_ = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(bytes_ == _QUOTE)
        if self._all_regular(bytes_, quotes):
            outside: Int64 = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
            return outside
        return self._scan(data, feeds)

    def _all_regular(self, data: np.ndarray[Any, Any], quotes: Int64) -> bool:
        """Whether each opening quote starts a field, or is doubled: then counting quotes tells what is inside them."""
        opening = quotes[0::2]
        before = data[opening - 1]
        regular = (before == self._delimiter[0]) | (before == _LINE_FEED) | (opening == 0)
        regular[1:] |= quotes[1::2][: len(opening) - 1] == opening[1:] - 1
        return bool(regular.all())

    def _scan(self, data: bytes, feeds: Int64) -> Int64:
        """Find the boundaries line by line, because of quotes in the middle of unquoted fields."""
        ends, line, is_open = [], 0, False
        for feed in feeds.tolist():
            text = data[line:feed]
            is_open = self._ends_open.fullmatch(b'"' + text if is_open else text) is not None
            if not is_open:
                ends.append(feed)
            line = feed + 1
        return np.array(ends, np.int64)

    def _cut(self, data: bytes, found: list[Records]) -> None:
        while data:
            feeds = self._boundaries(data)
            fitting = self._fitting(data, feeds)
            if fitting:
                self._split(data, feeds[:fitting], found)
                data = data[int(feeds[fitting - 1]) + 1 :]
            runs_over = fitting < len(feeds) or len(data) > self._max
            if not runs_over or b"\n" not in data:
                break
            data = self._drop_first_line(data, found)
        self._hold(data)

    def _fitting(self, data: bytes, feeds: Int64) -> int:
        """Return how many records come before the first one of several lines that is too long, or is no row."""
        several = _of_several_lines(feeds, super()._boundaries(data))
        ends = feeds.tolist() if several else []
        for index in several:
            start, end = ends[index - 1] + 1 if index else 0, ends[index]
            if end - start > self._max or not self._row.fullmatch(data, start, end):
                return index
        return len(feeds)

    def _opens_stray(self, rest: bytes) -> bool:
        """Whether the end of the file begins with a line whose quote is stray."""
        several = b"\n" in rest and not self._row.fullmatch(rest)
        return several or self._ends_open.fullmatch(rest) is not None

    def _drop_first_line(self, data: bytes, found: list[Records]) -> bytes:
        """Reject the first line of `data`, which opens a quote that is not closed; return what comes after it."""
        feed = data.find(b"\n")
        length = feed if feed >= 0 else len(data)
        end = self._offset + length + (feed >= 0)
        if length > self._max:
            self._emit(data[: self._kept], end, found, self._oversized(length))
        else:
            line = data[:length].removesuffix(b"\r")
            self._emit(line, end, found, self._stray(line))
        self._offset = end
        return data[length + 1 :]

    def _stray(self, line: bytes) -> Defect:
        """Say what is wrong with a line by that line alone: when it is read again, there may be no more."""
        opened = self._ends_open.fullmatch(line)
        where = f" at byte {opened.end(1) + 1}" if opened is not None else ""
        return Defect(
            "corrupt",
            f"a quoted field opens in this line{where} and is not closed as one, so the quote is stray: this "
            "line alone is rejected, and the next one is a record of its own; if quotes are plain text in this data: "
            "samples.quote: none",
        )


def _of_several_lines(feeds: Int64, all_feeds: Int64) -> list[int]:
    """Return which of the records that end at `feeds` hold other line feeds."""
    if len(feeds) == len(all_feeds):
        return []
    lines = np.diff(np.searchsorted(all_feeds, feeds), prepend=-1)
    several: list[int] = np.flatnonzero(lines > 1).tolist()
    return several


def _split_at(block: bytes, feeds: Int64) -> list[bytes]:
    """Split at these line feeds, the last of which comes right after the block. Most often there are no others."""
    values = block.split(b"\n")
    if len(values) == len(feeds):
        return values
    ends = feeds.tolist()
    return [block[start:end] for start, end in zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True)]


def _lengths(feeds: Int64) -> Int64:
    """Return the length of each line, without its line feed."""
    lengths = feeds.copy()
    lengths[1:] -= feeds[:-1] + 1
    return lengths
