"""Reading JSON lines or CSV from a byte stream, from any position."""

from __future__ import annotations

import csv
import io
from collections import deque
from typing import Any, Protocol

from learnd.connectors.files.compression import BrokenStreamError, ByteStream
from learnd.connectors.files.content import ContentStream, Prints
from learnd.connectors.files.endings import Ending
from learnd.connectors.files.splitters import BOM, CsvSplitter, LineSplitter, Records
from learnd.daemon.errors import not_utf8
from learnd.daemon.values import Defect, RecordFormat

BATCH_RECORDS = 2048  # small enough that other threads get their turn, large enough that a batch costs little
_CHUNK_BYTES = 1 << 19


class WrongFormatError(Exception):
    """Raised with the reason when no record of a file can be read: how it begins is not how its format begins."""


class UnreachableError(Exception):
    """Raised when a file ends before the position to resume at. `reached` is the offset where it ends."""

    def __init__(self, reached: int) -> None:
        self.reached = reached
        super().__init__(f"the file ends at {reached}")


class RecordReader(Protocol):
    """Reads the records of one file in order. `position` is the offset after the last record returned."""

    position: int
    columns: tuple[str, ...] | None
    head_end: int  # the offset of the first record
    drained: bool  # the last step found nothing more to read, for now or for good
    ending: Ending | None  # the end of the file as it was taken for the end of its last record

    def step(self, final: bool, limit: int | None = None) -> Records | None:
        """Return the next records, at most `BATCH_RECORDS`; None also if a step only passed over bytes.

        `final`: the file does not grow any more: an unfinished last line is a record, and an archive that stops
        short is broken. `limit`: read nothing from this position on; a record ends there.
        """

    def seek(self, position: int) -> None: ...

    def rest_after(self, ending: Ending, final: bool) -> int | None:
        """Return where to read on after an ending: `position` itself if a record still ends there.

        None if the record goes on and has no end yet.
        """

    def close(self) -> None:
        """Free what reads the file; the descriptor belongs to whoever opened it."""

    @property
    def ended(self) -> bool:
        """Whether each byte that was read is in a record that was returned, and the file may end here."""

    @property
    def consumed(self) -> int:
        """How many bytes (rows) of the file itself were read."""

    @property
    def held(self) -> int:
        """How many bytes (rows) were read that are not in a record that was returned."""

    def prints(self) -> Prints:
        """Return what is known of the content; nothing of Parquet."""


class LineReader:
    """Records of a byte stream. The span of the first record includes a byte order mark and the header of CSV."""

    def __init__(self, stream: ByteStream, fmt: RecordFormat, max_record_bytes: int, position: int) -> None:
        self._stream = ContentStream(stream)
        self._format = fmt
        self._max = max_record_bytes
        self.columns: tuple[str, ...] | None = None
        self.head_end = 0
        self.seek(position)

    def seek(self, position: int) -> None:
        self.position = position
        self.drained = False
        self.ending: Ending | None = None
        self._broken = False
        self._pending: deque[Records] = deque()
        self._splitter: LineSplitter | None = None  # made once the head of the file was read
        self._offset = position  # of the next byte of the stream

    def rest_after(self, ending: Ending, final: bool) -> int | None:
        position = self.position
        rest: int | None = position
        if self._stream.seek(ending.end + 1) > ending.end:
            rest = self._cut_again(ending.start, position, final) if position <= ending.end else None
            if rest != position and ending.rejected:
                rest = ending.start
        self.seek(position)
        return rest

    def _cut_again(self, start: int, position: int, final: bool) -> int | None:
        """Return where the record ends now that ended at `position`; None if its end is not there yet."""
        self.seek(start)
        while self.position < position:
            records = self.step(final)
            if records is None and self.drained:
                return None
            if records is not None and self.position >= position:
                end = int(records.ends[records.ends >= position][0])
                return position if self._is_line_end(position, end) else end
        return position

    def _is_line_end(self, start: int, end: int) -> bool:
        """Whether there is nothing, or nothing but the end of a line, between two offsets."""
        self._stream.seek(start)
        return end - start <= 2 and not self._read_unbroken(end - start).strip(b"\r\n")

    def close(self) -> None:
        self._pending.clear()

    @property
    def ended(self) -> bool:
        busy = self._pending or (self._splitter is not None and self._splitter.unfinished)
        return not busy and (self._broken or self._stream.complete)

    @property
    def consumed(self) -> int:
        return self._stream.consumed

    @property
    def held(self) -> int:
        return max(self._offset - self.position, 0)

    def prints(self) -> Prints:
        return self._stream.content.prints() if self._stream.content is not None else {}

    def from_start(self) -> tuple[ContentStream, int]:
        """Return the stream, and where the first record begins in it, as far as the file goes now."""
        self._start(final=True)
        return self._stream, self.head_end

    def step(self, final: bool, limit: int | None = None) -> Records | None:
        if not self._pending and not self._broken:
            self._advance(final, limit)
        if not self._pending:
            self.drained = self.drained or self._broken
            return None
        records = self._pending.popleft()
        self.position = int(records.ends[-1])
        return records

    def _advance(self, final: bool, limit: int | None) -> None:
        """Read one piece of the stream and cut it."""
        splitter = self._splitter = self._splitter or self._start(final)
        if splitter is None or self._broken or self.ending is not None:
            self.drained = True
            return
        self.drained = False
        size = _CHUNK_BYTES if limit is None else min(_CHUNK_BYTES, limit - self._offset)
        try:
            data = self._stream.read(size) if size > 0 else b""
        except BrokenStreamError as broken:
            self._break(splitter, broken, limit)
            return
        if data:
            self._offset += len(data)
            self._queue(splitter.feed(data))
        elif final and not self._stream.complete and (limit is None or self._offset < limit):
            self._break(splitter, BrokenStreamError("truncated", "the archive or array stops before its end"), limit)
        else:
            self.drained = True
            if final:
                self._finish(splitter, None, limit)

    def _start(self, final: bool) -> LineSplitter | None:
        """Read the head of the file, then go to the position. None if the head is not complete yet."""
        head_end = self._skip_bom(final)
        if head_end is not None and self._format.name == "csv":
            head_end = self._read_header(head_end, final)
        if head_end is None:
            return None
        self.head_end = head_end
        self._stream.begin(head_end)
        self._offset = self._go_to(max(self.position, head_end))
        return self._new_splitter(self.position, self._offset)

    def _go_to(self, offset: int) -> int:
        reached = self._stream.seek(offset)
        if reached == self.position - 1 and self._stream.unpacks:
            self._broken = True  # the position after a break, which the record before it has reported
        elif reached < offset:
            raise UnreachableError(reached)
        return reached

    def _skip_bom(self, final: bool) -> int | None:
        self._stream.seek(0)
        head = self._read_head(len(BOM))
        if head == BOM:
            return len(BOM)
        return None if head and not final and BOM.startswith(head) else 0

    def _read_head(self, size: int) -> bytes:
        head = b""
        while len(head) < size and (data := self._read_unbroken(size - len(head))):
            head += data
        return head

    def _read_unbroken(self, size: int) -> bytes:
        """Read only for the head of the file: a break is reported when the records get there."""
        try:
            return self._stream.read(size)
        except BrokenStreamError:
            return b""

    def _read_header(self, start: int, final: bool) -> int | None:
        """Read the names of the columns from the first CSV record; return its end, None if it is not there yet."""
        self._stream.seek(start)
        splitter = self._new_splitter(start, start)
        found: list[Records] = []
        while not found and (data := self._read_unbroken(_CHUNK_BYTES)):
            found = splitter.feed(data)
        if not found and final and self._stream.complete:
            found = splitter.finish()
        if not found:
            return start if final else None
        if found[0].defects and 0 in found[0].defects:
            self.columns = ()
            return start
        self.columns = _fields(found[0].values[0], self._format)
        return int(found[0].ends[0])

    def _new_splitter(self, position: int, offset: int) -> LineSplitter:
        if self._format.name == "csv" and self._format.quoted:
            return CsvSplitter(position, offset, self._max, self._format.delimiter)
        return LineSplitter(position, offset, self._max)

    def _break(self, splitter: LineSplitter, broken: BrokenStreamError, limit: int | None) -> None:
        """End the file with a record that says what is broken."""
        self._broken = True
        self._finish(splitter, Defect(broken.reason, str(broken)), limit)

    def _finish(self, splitter: LineSplitter, defect: Defect | None, limit: int | None) -> None:
        """Take what is left for the last record: the file ends here, or the range that is read again."""
        found = splitter.finish(defect)
        if limit is None:
            self.ending = Ending.of(found, self._offset, self._format.name) or self.ending
        self._queue(found)

    def _queue(self, found: list[Records]) -> None:
        for records in found:
            self._pending.extend(records.slices(BATCH_RECORDS))


def _fields(header: Any, fmt: RecordFormat) -> tuple[str, ...]:
    if why := not_utf8(header):
        raise WrongFormatError(f"the header is {why}")
    text = header.decode()
    if not fmt.quoted:
        return tuple(text.split(fmt.delimiter))
    return tuple(next(csv.reader(io.StringIO(text, newline=""), delimiter=fmt.delimiter)))
