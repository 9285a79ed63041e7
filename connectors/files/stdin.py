"""Records from standard input. A pipe cannot be read twice, so its bytes go to files before they are used."""

from __future__ import annotations

import errno
import hashlib
import os
import select
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.files.endings import GrownError
from learnd.connectors.files.identity import Identity, ReplacedError
from learnd.connectors.files.noted import noted_partitions
from learnd.connectors.files.partition import FilePartition
from learnd.connectors.files.queue import lag_of
from learnd.connectors.files.settings import StdinSettings
from learnd.daemon.errors import SettingsError, SourceError, StoreError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

SEGMENT_BYTES = 1 << 26  # of a segment, and so of what may lie unread in the spool
_PIECE_BYTES = 1 << 20
_NO_TAG = "0"

log = structlog.get_logger()


class StdinSource:
    """A `contracts.Source` over a pipe, by way of segments in `spool/` of the state directory.

    On Linux the kernel moves the bytes from the pipe to the segment (splice), so a kill loses none. A daemon that is
    started again on the same pipe goes on with the last segment, even in the middle of a line, unless its writer had
    closed it there; on another pipe it begins a new one, and an unfinished last line of the old one is a record of its
    own. If the spool is full, the
    writer has to wait. Standard input that is not a pipe, or on another system, is copied, and a kill can lose what
    was just read.

    A segment is named `NUMBER-PIPE-END.jsonl`: END is where the segment before it ends. With it, the step from one
    segment to the next can be repeated after a kill.
    """

    live = True
    connected = True
    repeats = False
    lag_unit: Literal["records", "bytes"] = "bytes"

    def __init__(self, settings: StdinSettings, fmt: RecordFormat, state: Path, stream_fd: int = 0) -> None:
        if fmt.name == "parquet":
            raise SettingsError(["source.stdin: Parquet cannot be read from a pipe; use json or csv, or source.files"])
        self._settings = settings
        self._format = fmt
        self._spool = state / "spool"
        self._stream = stream_fd
        self._forget()

    def _forget(self) -> None:
        self._poll = select.poll()
        self._segments: list[FilePartition] = []  # the last one is being written
        self._reading = 0  # index of the segment that is read
        self._next_ordinal = 0
        self._writing = -1
        self._written = 0  # bytes of the segment that is being written
        self._full_at = SEGMENT_BYTES
        self._splices = hasattr(os, "splice")
        self._at_end = False
        self._exhausted = False

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._forget()
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            self._mend()
            self._restore(positions, notes)
            self._continue_or_begin()
        except OSError as error:
            raise self._failed(error) from error
        self._poll.register(self._stream, select.POLLIN)

    def read(self, timeout_s: float) -> RecordBatch | None:
        deadline = time.monotonic() + timeout_s
        while True:
            self._pump()
            batch = self._next(deadline)
            left = deadline - time.monotonic()
            if batch is not None or self._exhausted or left <= 0:
                return batch
            if not self._at_end:
                self._poll.poll(left * 1000)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        for index, segment in enumerate(self._segments):
            if segment.name == partition:
                self._reading = max(self._reading, index)
                try:
                    yield from segment.read_range(start, end)
                except (ReplacedError, FileNotFoundError) as error:
                    raise segment.gone(start, "the segment of the spool is gone") from error
                return
        raise SourceError(
            f"{partition}: the journal needs its records from offset {start} to {end}, but {self._spool} has no such "
            "segment. Put the spool back, or start afresh in another state directory."
        )

    @property
    def exhausted(self) -> bool:
        return self._exhausted

    def lag(self) -> Mapping[str, int]:
        return lag_of(self._segments[self._reading :], self._next_ordinal)

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:  # noqa: ARG002 (what is saved may be read again)
        """Delete the segments before the last one in `needed`: they were consumed to their end."""
        last = max((index for index, segment in enumerate(self._segments) if segment.name in needed), default=0)
        for segment in self._segments[:last]:
            try:
                Path(segment.path).unlink(missing_ok=True)
            except OSError as error:
                log.warning("stdin.segment_kept", file=segment.path, reason=error.strerror)

    def close(self) -> None:
        for segment in self._segments:
            segment.close()
        if self._writing >= 0:
            os.close(self._writing)
        self._writing = -1

    # Restarting

    def _mend(self) -> None:
        """Finish a step from one segment to the next that a kill interrupted, and delete empty segments."""
        for path in self._spool.glob("*.new"):
            path.unlink()
        paths = self._paths()
        for before, after in pairwise(paths):
            end = int(after.stem.split("-")[2])
            if end and before.stat().st_size > end:
                os.truncate(before, end)
        for path in paths[:-1]:
            if path.stat().st_size == 0:
                path.unlink()

    def _restore(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Find the segments again that the notes name, and add those that no note names yet."""
        paths = self._paths()
        noted = noted_partitions(notes, positions, self._format, self._settings.max_record_bytes)
        for segment in noted:
            if not segment.locate([str(path) for path in paths]) and segment is noted[-1]:
                raise segment.gone(segment.position, "the segment of the spool is gone")
            self._segments.append(segment)
            self._next_ordinal = (segment.ordinal or 0) + 1
        known = {Path(segment.path).name for segment in noted}
        for path in paths:
            if path.name not in known:
                self._add(path)

    def _continue_or_begin(self) -> None:
        """Open the segment to write to: the last one if it is from the same pipe, else a new one."""
        tag = _pipe_tag(self._stream)
        paths = self._paths()
        if paths and paths[-1].stem.split("-")[1] == tag != _NO_TAG:
            self._write_to(paths[-1])
            if self._segments[-1].ended_in_a_line:  # that line was a record when the stream ended
                self._written += os.write(self._writing, b"\n")
        else:
            path = self._path(tag, 0)
            path.touch()
            self._add(path)
            self._write_to(path)

    def _paths(self) -> list[Path]:
        return sorted(self._spool.glob(f"*.{self._suffix}"))

    @property
    def _suffix(self) -> str:
        return "csv" if self._format.name == "csv" else "jsonl"

    def _path(self, tag: str, end: int) -> Path:
        """Return the name of the next segment, after one that ends at `end` (0: at the end of its file)."""
        numbers = [int(Path(segment.path).name.split("-")[0]) for segment in self._segments]
        return self._spool / f"{max(numbers, default=0) + 1:06d}-{tag}-{end}.{self._suffix}"

    def _add(self, path: Path) -> None:
        identity = Identity.by_inode(path.stat())
        self._segments.append(FilePartition(str(path), identity, self._format, self._settings.max_record_bytes))

    def _write_to(self, path: Path) -> None:
        if self._writing >= 0:
            os.close(self._writing)
        self._writing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._written = os.lseek(self._writing, 0, os.SEEK_END)
        self._full_at = max(SEGMENT_BYTES, self._written + _PIECE_BYTES)

    # Reading

    def _next(self, deadline: float) -> RecordBatch | None:
        while not self._exhausted:
            segment = self._segments[self._reading]
            is_last = segment is self._segments[-1]
            try:
                batch = segment.read(self._at_end or not is_last, deadline, self._next_ordinal)
            except FileNotFoundError:
                batch = None  # an earlier commit has deleted it
                segment.drained = True
            except (ReplacedError, GrownError) as error:
                raise segment.gone(segment.position, "the segment of the spool holds other content") from error
            if batch is not None:
                self._next_ordinal = max(self._next_ordinal, (segment.ordinal or 0) + 1)
                return batch
            if not segment.drained:
                return None
            if is_last:
                self._exhausted = self._at_end
                self._roll_if_full(segment)
                return None
            segment.close()
            self._reading += 1
        return None

    # Spooling

    def _pump(self) -> None:
        """Move what is in the pipe to the segment, as long as there is room."""
        try:
            while not self._at_end and self._written < self._full_at and self._poll.poll(0):
                moved = self._move()
                self._at_end = moved == 0
                self._written += moved
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._failed(error) from error

    def _move(self) -> int:
        """Move some bytes; 0 at the end of the stream."""
        if self._splices:
            try:
                return os.splice(self._stream, self._writing, _PIECE_BYTES, flags=os.SPLICE_F_NONBLOCK)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                self._splices = False
                log.info("stdin.copied", consequence="this input is not a pipe: a kill can lose what was just read")
        data = os.read(self._stream, _PIECE_BYTES)
        left = memoryview(data)
        while left:
            left = left[os.write(self._writing, left) :]
        return len(data)

    def _roll_if_full(self, segment: FilePartition) -> None:
        """Begin a new segment after a full one was read, so that it can be deleted when it is no longer needed."""
        if self._written < self._full_at or self._exhausted:
            return
        tail = self._written - segment.position
        if segment.name is None or segment.is_array or tail > SEGMENT_BYTES // 2:
            self._full_at = self._written + SEGMENT_BYTES  # an array, or one very long line: it stays whole
            return
        try:
            self._roll(segment, tail)
        except OSError as error:
            raise self._failed(error) from error

    def _roll(self, segment: FilePartition, tail: int) -> None:
        """Begin the next segment with the unfinished line, then cut it off the old one. `_mend` completes both."""
        head = os.pread(self._writing, segment.head_end, 0)
        path = self._path(Path(segment.path).stem.split("-")[1], segment.position)
        new = path.with_suffix(".new")
        new.write_bytes(head + os.pread(self._writing, tail, segment.position))
        new.rename(path)
        os.ftruncate(self._writing, segment.position)
        segment.close()
        self._add(path)
        self._write_to(path)
        self._reading += 1

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self._spool}: standard input cannot be spooled: {error.strerror}. What is in the pipe stays there; make "
            "room or mend the permissions, and start again on the same pipe."
        )


def _pipe_tag(stream: int) -> str:
    """Return what identifies a pipe among all since the machine was started; `0` if it is not a pipe."""
    status = os.fstat(stream)
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not stat.S_ISFIFO(status.st_mode) or not boot.exists():
        return _NO_TAG
    name = f"{boot.read_text().strip()}:{status.st_dev}:{status.st_ino}"
    return hashlib.sha256(name.encode()).hexdigest()[:12]
