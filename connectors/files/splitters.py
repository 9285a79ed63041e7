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
from typing import Any, NamedTuple

import numpy as np

from learnd.connectors.files.quotes import Quotes
from learnd.daemon.values import Defect, Int64

KEPT_BYTES = 1024  # of a record that is too long to keep
BOM = b"\xef\xbb\xbf"
_LINE_FEED = 10


@dataclass(frozen=True, slots=True)
class Records:
    """n >= 1 consecutive records, the first from position `start`."""

    start: int
    ends: Int64  # (n,)
    values: Sequence[bytes] | Sequence[Mapping[str, Any]]
    defects: Mapping[int, Defect] | None = None
    lines: Sequence[int] | None = None  # n of them: how many lines of text each takes; None: one each, or no text

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
        lines = None if self.lines is None else self.lines[first:last]
        return Records(start, self.ends[first:last], self.values[first:last], defects or None, lines)


class Cuts(NamedTuple):
    """Where n >= 0 records end in a piece of a stream."""

    feeds: Int64  # (n,) the index of the line feed
    defects: Mapping[int, Defect]
    lines: Int64 | None  # (n,) how many lines each takes; None: one each


class LineSplitter:
    """Cuts bytes, fed in any pieces, into lines. Holds at most `max_record_bytes` and one piece in memory."""

    def __init__(self, position: int, offset: int, max_record_bytes: int) -> None:
        """`position` is where the first record starts, `offset` that of the first byte to be fed."""
        self._position = position
        self._offset = offset  # of the first byte of the tail
        self._max = max_record_bytes
        self._kept = min(KEPT_BYTES, max_record_bytes)
        self._tail = b""
        self._skipped = 0  # bytes read of a record that is already too long; the tail is then its head
        self._skipped_lines = 1  # those of that record

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
            end, lines = self._offset + len(self._tail) + 1, self._tail.count(b"\n") + 1
            self._emit(self._tail[: self._kept], end, found, defect, lines)
        elif self._tail:
            self._take_tail(found)
        self._offset += len(self._tail)
        self._tail = b""
        return found

    def _take_tail(self, found: list[Records]) -> None:
        """Turn what is left into records, as if the stream ended in a line feed."""
        data, end = self._tail + b"\n", self._offset + len(self._tail)
        self._split(data, self._cuts(data, final=True), found)
        if self._position > end:
            found[-1].ends[-1] = self._position = end
        self._offset, self._tail = end, b""

    def _cuts(self, data: bytes, *, final: bool = False) -> Cuts:  # noqa: ARG002
        """Return where records end; `data` starts at the beginning of one. `final`: nothing comes after it."""
        return Cuts(np.flatnonzero(np.frombuffer(data, np.uint8) == _LINE_FEED), {}, None)

    def _cut(self, data: bytes, found: list[Records]) -> None:
        cuts = self._cuts(data)
        if len(cuts.feeds):
            self._split(data, cuts, found)
            data = data[int(cuts.feeds[-1]) + 1 :]
        self._hold(data)

    def _split(self, data: bytes, cuts: Cuts, found: list[Records]) -> None:
        """Turn the bytes up to the last cut into records."""
        feeds, flaws, lines = cuts
        base = self._offset
        ends = feeds + (base + 1)
        block = data[: int(feeds[-1])]
        values = _split_at(block, feeds)
        lengths = _lengths(feeds)
        if b"\r" in block:
            values = [value.removesuffix(b"\r") for value in values]
        if not block.isascii() and BOM in block:  # the first test is much faster
            values = [value.removeprefix(BOM) for value in values]
        defects = {**flaws, **self._too_long(lengths, values)}
        if int(lengths.min()) <= len(BOM) + 1 and not all(values):
            kept = [index for index, value in enumerate(values) if value]
            defects = {new: defects[old] for new, old in enumerate(kept) if old in defects}
            values, ends = [values[index] for index in kept], ends[kept]
            lines = None if lines is None else lines[kept]
        self._offset = base + int(feeds[-1]) + 1
        if values:
            several = lines.tolist() if lines is not None and lines.max() > 1 else None
            found.append(Records(self._position, ends, values, defects or None, several))
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
        """Keep the unfinished record `tail` for later, or only its head if it is too long already."""
        self._tail = tail
        if len(tail) > self._max:
            self._skipped, self._skipped_lines, self._tail = len(tail), tail.count(b"\n") + 1, tail[: self._kept]

    def _skip(self, data: bytes, found: list[Records]) -> bytes:
        """Skip the rest of a record that is too long, and return the bytes after it."""
        feed = data.find(b"\n")
        if feed < 0:
            self._skipped += len(data)
            return b""
        length = self._skipped + feed
        self._emit_oversized(length, self._offset + length + 1, found)
        return data[feed + 1 :]

    def _emit_oversized(self, length: int, end: int, found: list[Records]) -> None:
        self._emit(self._tail, end, found, self._oversized(length), self._skipped_lines)
        self._offset, self._tail, self._skipped = end, b"", 0

    def _emit(self, value: bytes, end: int, found: list[Records], defect: Defect, lines: int = 1) -> None:
        ends = np.array([end], np.int64)
        found.append(Records(self._position, ends, [value], {0: defect}, [lines] if lines > 1 else None))
        self._position = end

    def _oversized(self, length: int) -> Defect:
        return Defect("oversized", f"a line of {length} bytes is over the limit of {self._max} bytes")


class CsvSplitter(LineSplitter):
    """Cuts bytes into CSV records, in which a quoted cell may hold line feeds.

    A quote that opens a cell must close it: before a delimiter or the end of a line, with nothing but blanks between,
    and within `max_record_bytes`. If it closes none, or in a later line and otherwise, it is a stray one: the record
    ends with the line of that quote and is rejected, and the next line is a record of its own. So a stray quote
    swallows no line, and the text of a cell is no record.
    """

    def __init__(self, position: int, offset: int, max_record_bytes: int, delimiter: str) -> None:
        super().__init__(position, offset, max_record_bytes)
        self._delimiter = delimiter.encode()
        blanks = b" \t".replace(self._delimiter, b"")
        self._end_of_cell = re.compile(rb"[%b]*+(%b|\r?\n)?" % (blanks, re.escape(self._delimiter)))

    def _cuts(self, data: bytes, *, final: bool = False) -> Cuts:
        lines = super()._cuts(data)
        if b'"' not in data:
            return lines
        quotes = Quotes(data, lines.feeds, self._delimiter)
        return lines if quotes.next_loose(0) is None else self._walk(data, lines.feeds, quotes, final)

    def _walk(self, data: bytes, feeds: Int64, quotes: Quotes, final: bool) -> Cuts:
        """Go through the quotes that are not closed in their line, and find which ends of lines end no record.

        Each is looked at once: behind a stray quote, the next one to look at is in a later line.
        """
        first, last, lines, opens = (each.tolist() for each in quotes.runs)
        starts = [0, *(feeds + 1).tolist()]  # of each line
        ends_record = np.ones(len(feeds), np.bool_)
        strays: dict[int, int] = {}  # by the number of its line: at which byte of the record it opens a cell
        begin, goes_on_in, at = 0, -1, 0  # `begin`: the line in which the record begins
        while (run := quotes.next_loose(at)) is not None:
            at = run + 1
            if not opens[run]:
                continue  # text
            line = lines[run]
            begin = begin if line == goes_on_in else line
            closed = self._is_closed(data, starts[begin], last[at] if at < len(last) else None, final)
            if closed is None:
                ends_record = ends_record[:begin]
                break
            if closed:
                goes_on_in = lines[at]
                ends_record[line:goes_on_in] = False
                at += 1
            elif line < len(feeds):
                strays[line] = first[run] - starts[begin] + 1
        ending = np.flatnonzero(ends_record)
        records = np.searchsorted(ending, list(strays)).tolist()
        defects = dict(zip(records, map(_stray, strays.values()), strict=True))
        return Cuts(feeds[ending], defects, np.diff(ending, prepend=-1))

    def _is_closed(self, data: bytes, start: int, closing: int | None, final: bool) -> bool | None:
        """Return whether a quote closes a cell of the record from `start` on; None if more must come to tell."""
        window = start + self._max + 1  # where a record and its line feed must end
        if closing is not None and (end := self._end_of_cell.match(data, closing + 1)) is not None:
            if end[1] is not None:
                return end.end() <= window
            if end.end() + max(len(self._delimiter), len(b"\r\n")) <= len(data):
                return False
        return False if final or len(data) >= window else None


def _stray(byte: int) -> Defect:
    """Say what is wrong with a record by that record alone: when it is read again, there may be no more."""
    return Defect(
        "corrupt",
        f"a quoted cell opens at byte {byte} of this record and is not closed as one, so the quote is stray: its line "
        "is rejected, and the next one is a record of its own; if quotes are plain text: samples.quote: none",
    )


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
