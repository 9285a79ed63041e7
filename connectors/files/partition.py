"""One file as a partition of the stream: opening it, reading on, reading a range again, and the note to find it by."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

from learnd.connectors.files.arrays import ARRAY, json_packing, lines_of
from learnd.connectors.files.compression import packing_of
from learnd.connectors.files.content import LEAST_BYTES, MOST_BYTES, Prints, Survey, lasting
from learnd.connectors.files.endings import Ending, GrownError
from learnd.connectors.files.identity import HEAD_BYTES, Identity, ReplacedError, find, open_same
from learnd.connectors.files.lines import LineReader, RecordReader, UnreachableError, WrongFormatError
from learnd.connectors.files.parquet import ParquetReader
from learnd.connectors.files.splitters import Records
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, RecordBatch, RecordFormat

_WAY_OUT = "put the file back, or start afresh in another state directory"


@dataclass(frozen=True, slots=True)
class _Open:
    descriptor: int
    reader: RecordReader

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self.descriptor)


def partition_name(ordinal: int) -> str:
    return f"file-{ordinal}"


class FilePartition:
    """One file, read in order. It gets its ordinal, and with it its name, when its first record is handed out."""

    def __init__(
        self, path: str, identity: Identity, fmt: RecordFormat, max_record_bytes: int, position: int = 0
    ) -> None:
        self.path = path  # where it is now, as far as known
        self.first_path = path  # where it was found first
        self.identity = identity
        self.ordinal: int | None = None
        self.position = position
        self.order = 0  # among the files that were found
        self.drained = False  # the last read found nothing more, for now or for good
        self.sealed = False  # it is assumed not to grow any more
        self.prints: Prints = {}  # how its records begin
        self._begin = position  # not 0 if the file grew after its end was taken as final
        self._format = fmt
        self._max = max_record_bytes
        self._open: _Open | None = None
        self._end: tuple[int, int] | None = None  # (position, bytes of the file) at the end of a whole file
        self._ending: Ending | None = None
        self._packing = packing_of(path)
        self._noted_prints: Prints = {}
        self._unsettled = False  # whether the file may have grown within its last record
        self._noted: tuple[Any, ...] | None = None

    @classmethod
    def from_note(cls, note: Note, position: int | None, fmt: RecordFormat, max_record_bytes: int) -> FilePartition:
        """Return the partition that a note names, to be read from `position`."""
        identity = Identity(note["device"], note["inode"], note["head_bytes"], note["head_sha256"])
        found = cls(note["path"], identity, fmt, max_record_bytes, note["begin"])
        found.ordinal = note["ordinal"]
        found._end = tuple(note["end"]) if note["end"] else None
        found._ending = Ending(*note["ending"]) if note["ending"] else None
        found._unsettled = found._ending is not None
        found.prints = found._noted_prints = dict(note["prints"])
        found._packing = note["packing"]
        found.position = found._begin if position is None else position
        found._noted = found._facts
        return found

    @property
    def _facts(self) -> tuple[Any, ...]:
        """What a note says of the file: if it changes, a new one is needed."""
        return self.identity, self._end, self._ending, self._packing, self._noted_prints

    @property
    def name(self) -> str | None:
        return None if self.ordinal is None else partition_name(self.ordinal)

    @property
    def is_open(self) -> bool:
        return self._open is not None

    @property
    def head_end(self) -> int:
        """The offset in the open file where the byte order mark and the header end."""
        return self._open.reader.head_end if self._open is not None else 0

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names in the header of the open file, if it has one."""
        return self._open.reader.columns if self._open is not None else None

    @property
    def unfinished(self) -> bool:
        """Whether more must come: bytes were read that are in no record yet, or the file cannot end here."""
        return self._open is not None and not self._open.reader.ended

    @property
    def ended_in_a_line(self) -> bool:
        """Whether the last record that was read had no end but that of the file."""
        return self._ending is not None

    @property
    def known_complete(self) -> bool:
        """Whether a note says where the whole file ends, and the position is there."""
        return self._end is not None and self.position >= self._end[0]

    @property
    def amount(self) -> str:
        """How much of the file was read."""
        return f"{self.position:,} {'rows' if self._format.name == 'parquet' else 'bytes'}"

    @property
    def is_plain(self) -> bool:
        """Whether positions are offsets in the file itself."""
        return self._format.name != "parquet" and not self._packing

    @property
    def is_array(self) -> bool:
        """Whether it is one JSON array, as far as is known."""
        return self._packing.endswith(ARRAY)

    @property
    def read_to(self) -> int:
        """The position, without what a record adds that says that an archive is broken."""
        return min(self.position, self._ending.end) if self._ending is not None else self.position

    @property
    def may_be_a_copy(self) -> bool:
        """Whether so little of it was read that it may still prove to be a copy of another file."""
        return self._begin == 0 and LEAST_BYTES not in self.prints

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._open is not None:
            self._open.reader.close()
            os.close(self._open.descriptor)
        self._open = None

    def locate(self, others: list[str]) -> bool:
        """Find the file again after a restart, renamed or not; False if it is gone or holds something else."""
        found = find(self.identity, self.path, self.position if self.is_plain else None, others)
        if found is None:
            return False
        self.path = found
        status = Path(found).stat()
        self.identity = replace(self.identity, device=status.st_dev, inode=status.st_ino)
        return True

    def move(self, copy: FilePartition) -> None:
        """Go on in a copy, from where this file was read to."""
        self.close()
        self.path, self.identity, self._packing = copy.path, copy.identity, copy._packing

    def begin_behind(self, original: FilePartition) -> None:
        """Leave out what was read of the file that this one is a copy of."""
        self.position = self._begin = original.position
        self._ending, self._unsettled = original._ending, original.ended_in_a_line

    @contextmanager
    def survey(self) -> Iterator[Survey]:
        """Look at the beginning of the file, apart from reading on. Raises what `read` raises."""
        descriptor = self._open_same()
        try:
            with self._named_errors():
                yield Survey(lambda: self._line_reader(descriptor, 0).from_start())
        finally:
            os.close(descriptor)

    def read(self, final: bool, deadline: float, next_ordinal: int) -> RecordBatch | None:
        """Return the next records; None if there are none (`drained`), or none before the deadline.

        `final`: the file does not grow any more. Raises FileNotFoundError or ReplacedError if the file cannot be
        found, GrownError if it goes on within what was its last record, SourceError if it cannot be read.
        """
        file = self._opened()
        if self._unsettled:
            self._settle(file.reader, final)
        records = self._step_until(file.reader, final, None, deadline)
        if records is not None or self.drained:
            self._check_intact(file)
        if records is None:
            return None
        if self.ordinal is None:
            self.ordinal = next_ordinal
        if final or not self.is_plain:
            self._note_end(file)
        self._ending = file.reader.ending or self._ending
        if records.start - file.reader.head_end < MOST_BYTES:  # else all that counts was seen
            self.prints = file.reader.prints()
            read = int(records.ends[-1]) - file.reader.head_end
            self._noted_prints = lasting(self.prints, read, whole=self._end is not None)
        return self._batch(file.reader, records, self._news())

    def read_range(self, start: int, end: int) -> Iterator[RecordBatch]:
        """Yield the records from `start` up to `end`; `read` goes on from there. Raises what `read` raises."""
        file = self._opened()
        if file.reader.position != start:
            file.reader.seek(start)
        while file.reader.position < end:
            records = self._step_until(file.reader, True, end, float("inf"))
            if records is None or int(records.ends[-1]) > end:
                raise self.gone(file.reader.position, f"the records up to {end} are not there")
            self._check_intact(file)
            yield self._batch(file.reader, records)

    def unread(self) -> int:
        """Return how much is not handed out yet: bytes (in an archive mostly compressed ones), or rows."""
        reader = self._open.reader if self._open is not None else None
        if isinstance(reader, ParquetReader):
            return max(reader.total - reader.position, 0)
        try:
            size = self._status().st_size
        except OSError:
            return 0
        if reader is None or (self.is_plain and not reader.ended):
            return max(size - self.position, 0) if self.is_plain else size
        return size - reader.consumed + (0 if reader.ended else reader.held)

    def has_grown(self) -> bool:
        """Whether the open file has another size than what was read of it."""
        if self._open is None:
            return False
        if isinstance(self._open.reader, ParquetReader):
            return not self._open.reader.ended and self._open.status.st_size > 0
        return self._open.status.st_size != self._open.reader.consumed

    def changed_since_end(self) -> bool:
        """Whether the file has another size than when it was read to its end. Raises OSError."""
        return self._end is None or self._status().st_size != self._end[1]

    def is_cut(self) -> bool:
        """Whether the open file no longer holds what was read from it."""
        return self._open is not None and not self._is_intact(self._open)

    def reach(self) -> int:
        """Return the offset up to which records are read where the file is now, sooner or later."""
        if not self.is_plain:
            return self.read_to
        try:
            descriptor = self._open_same() if self._open is None else os.dup(self._open.descriptor)
        except (FileNotFoundError, ReplacedError, SourceError):
            return self.read_to
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        return max(size, self.read_to)

    def is_quiet(self, seconds: float) -> bool:
        """Whether the file was last written at least that long ago, or is gone. Raises OSError."""
        try:
            return time.time() - self._status().st_mtime >= seconds
        except FileNotFoundError:
            return True

    def continuation(self) -> FilePartition | None:
        """Return a new partition for what is written to the open file after its end was taken as final.

        Reading on in the same partition would not be repeatable: its last line may have been handed out without a
        line feed, and reading both again in one go would cut the same bytes differently. None for an archive that was
        whole. Raises GrownError if that last line goes on.
        """
        file = self._opened()
        self._settle(file.reader, final=False)
        return self.rest_from(self.position) if self.is_plain else None

    def rest_from(self, position: int) -> FilePartition:
        """Return a new partition for the same file from a position on."""
        return FilePartition(self.path, self.identity, self._format, self._max, position)

    def gone(self, at: int, why: str) -> SourceError:
        """Return the error for records that cannot be read any more."""
        return SourceError(
            f"{self.first_path} ({self.name or 'not begun'}) is needed from offset {at}: {why}. Going on would train "
            f"another model than this stream gives; {_WAY_OUT}."
        )

    def _opened(self) -> _Open:
        if self._open is None or self.identity.head_bytes == 0:  # what it begins with decides how it is read
            self.close()
            descriptor = self._open_same()
            self.identity = Identity.of(descriptor)
            self._open = _Open(descriptor, self._new_reader(descriptor))
        return self._open

    def _new_reader(self, descriptor: int) -> RecordReader:
        if self._format.name == "parquet":
            return ParquetReader(descriptor, self._format, self.position)
        return self._line_reader(descriptor, self.position)

    def _line_reader(self, descriptor: int, position: int) -> LineReader:
        if self._format.name == "json" and not self.prints:
            self._packing = json_packing(descriptor, self.path)
        return LineReader(lines_of(descriptor, self._packing), self._format, self._max, position)

    def _open_same(self) -> int:
        """Open this same file, which may have been renamed since it was found."""
        try:
            descriptor, self.path = open_same(self.identity, self.path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(error) from error
        return descriptor

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"{self.path} cannot be read at offset {self.position}: {error.strerror}. Nothing is lost: mend it "
            "and start again, to go on from there."
        )

    def _settle(self, reader: RecordReader, final: bool) -> None:
        """Check that the last record of the file as it was still ends there. Raises GrownError."""
        if self._ending is not None and self.position > self._ending.start:
            with self._named_errors():
                rest = reader.rest_after(self._ending, final)
            if rest != self.position:
                raise GrownError(self._ending, rest)
        self._unsettled = False

    def _step_until(self, reader: RecordReader, final: bool, limit: int | None, deadline: float) -> Records | None:
        """Read until there are records, the file has no more, or the deadline has passed; one step at least."""
        with self._named_errors():
            while True:
                records = reader.step(final, limit)
                self.drained = records is None and reader.drained
                if records is not None or self.drained or time.monotonic() >= deadline:
                    return records

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn what reading raises into a SourceError that names the file."""
        try:
            yield
        except UnreachableError as error:
            raise self.gone(self.position, f"it ends at {error.reached}, so that its content was replaced") from error
        except WrongFormatError as error:
            raise SourceError(f"{self.first_path}: {error}. Nothing of the file was read yet.") from error
        except OSError as error:
            raise self._unreadable(error) from error

    def _batch(self, reader: RecordReader, records: Records, note: Note | None = None) -> RecordBatch:
        self.position = int(records.ends[-1])
        return RecordBatch(
            self.name or "",
            records.start,
            records.ends,
            records.values,
            columns=reader.columns,
            defects=records.defects,
            lines=records.lines,
            note=note,
        )

    def _news(self) -> Note | None:
        """Return the note by which the file is found again; None if the last note still holds."""
        if self._facts == self._noted:
            return None
        self._noted = self._facts
        return {
            "ordinal": self.ordinal,
            "partition": self.name,
            "path": self.first_path,
            **asdict(self.identity),
            "begin": self._begin,
            "end": list(self._end) if self._end else None,
            "packing": self._packing,
            "prints": [[length, digest] for length, digest in self._noted_prints.items()],
            "ending": list(astuple(self._ending)) if self._ending else None,
        }

    def _check_intact(self, file: _Open) -> None:
        """Raise ReplacedError if the file no longer holds what was just read from it."""
        if not self._is_intact(file):
            raise ReplacedError
        if self.identity.head_bytes < HEAD_BYTES:
            self.identity = Identity.of(file.descriptor)  # the file has grown, so more of it can identify it

    def _is_intact(self, file: _Open) -> bool:
        shrunk = not isinstance(file.reader, ParquetReader) and file.status.st_size < file.reader.consumed
        return not shrunk and self.identity.holds(file.descriptor)

    def _note_end(self, file: _Open) -> None:
        size = file.status.st_size
        complete = isinstance(file.reader, ParquetReader) or file.reader.consumed == size
        if complete and file.reader.ended:
            self._end = (file.reader.position, size)

    def _status(self) -> os.stat_result:
        return self._open.status if self._open is not None else Path(self.path).stat()
