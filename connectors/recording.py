"""Reads a recording as the topics that it was made of were read: the same partitions, the same positions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.kafka.book import Book, gap
from learnd.connectors.kafka.client import Fetched, Topic
from learnd.connectors.kafka.ranges import Ranges
from learnd.connectors.kafka.registry import RegistryAwayError
from learnd.connectors.kafka.values import Values
from learnd.connectors.recordings import Header, read_header, read_recording
from learnd.connectors.settings import RecordingSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_MOST_WAITING = 256 << 20
_RECORD_BYTES = 200  # that a record takes beside what it holds

log = structlog.get_logger()


class RecordingSource:
    """A `contracts.Source` over a recording. It takes the live source's notes: a journal can be repeated from it."""

    live = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(
        self,
        settings: RecordingSettings,
        fmt: RecordFormat,
        _state: Path | None = None,
        *,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """`most_waiting` bytes of other partitions are kept in memory while a journal is repeated."""
        self._settings = settings
        self._most_waiting = most_waiting
        self._format = fmt
        self._book = Book({}, [])
        self._values = self._make_values()
        self._positions: Positions = {}
        self._header = Header(topics={}, starts={}, ends={})
        self._records: Iterator[Fetched] | None = None
        self._held: Fetched | None = None  # read, not handed out yet
        self._ranges: _RecordedRanges | None = None
        self.exhausted = False
        self.connected = True  # to the registry, where there is one

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        header = read_header(self._settings.path)
        if header is None:
            raise SourceError(
                f"{self._settings.path} cannot be read as a recording of learnd: it is not there, damaged, or another "
                "kind of file. Correct source.recording.path; plain files are read by source.files."
            )
        self._header = header
        self._book = Book(positions, notes)
        self._values = self._make_values()
        self._book.know({name: Topic(id, 0) for name, id in header.topics.items()})  # noqa: A001
        self._book.start_at({name: start for name, start in header.starts.items() if name not in self._book.starts})
        self._positions = self._book.starts | positions
        for name, position in self._positions.items():
            start = header.starts.get(name)
            if start is None or start > position:
                where = "holds nothing of it" if start is None else f"begins at offset {start}"
                raise SourceError(
                    f"{name}: the state goes on at offset {position}, but the recording {self._settings.path} {where}. "
                    "Give a recording that reaches back as far, or another state directory (--state)."
                )

    def read(self, timeout_s: float) -> RecordBatch | None:
        fetched = self._next()
        if fetched is None:
            self.exhausted = True
            return None
        name = fetched.partition
        position = self._positions[name]
        if (end := self._book.gap_at(name, position)) is not None:
            batch = gap(name, position, end)
        else:
            before = self._book.next_gap(name, position)
            if before is not None and before <= fetched.offsets[-1]:
                fetched = fetched.rows(fetched.offsets < before)
            try:
                batch = self._values.batch(fetched, position)
            except RegistryAwayError as error:
                self._wait_for_registry(error, timeout_s)
                return None
            self.connected = True
        self._positions[name] = int(batch.ends[-1])
        return self._book.noted(batch)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        if partition not in self._header.starts:
            raise SourceError(f"{partition}: the recording {self._settings.path} holds nothing of it")
        if self._ranges is None:
            self._ranges = _RecordedRanges(self._settings.path, self._book, self._values, self._most_waiting)
        yield from self._ranges.read(partition, start, end)
        self._positions[partition] = end

    def lag(self) -> Mapping[str, int]:
        left = {name: end - self._positions[name] for name, end in self._header.ends.items()}
        return {} if self.exhausted else {name: records for name, records in left.items() if records > 0}

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: a recording stays as it is."""

    def close(self) -> None:
        self._records = self._ranges = None

    def _wait_for_registry(self, error: RegistryAwayError, timeout_s: float) -> None:
        if self.connected:
            log.warning("registry.away", reason=str(error), consequence="waiting; nothing is lost")
        self.connected = False
        time.sleep(timeout_s)

    def _make_values(self) -> Values:
        return Values(self._format, self._settings.max_record_bytes, self._settings.registry, self._book)

    def _next(self) -> Fetched | None:
        """Return what comes next, from the positions on; None at the end."""
        if self._records is None:
            self._records = _whole(self._settings.path)
        while True:
            held = self._held or next(self._records, None)
            if held is None:
                return None
            left = held.offsets >= self._positions[held.partition]
            self._held = self._book.kept(held.rows(left)) if left.any() else None
            if self._held is not None:
                return self._held


class _RecordedRanges(Ranges):
    """Reads the file once, in its order. What it comes by of other partitions is kept until its turn comes.

    Where that is too much, the partition with most of it is read by itself from then on, from the file's beginning.
    """

    way_out = "Give a recording that holds them."

    def __init__(self, path: Path, book: Book, values: Values, most_waiting: int) -> None:
        super().__init__(book, values)
        self._path = path
        self._most_waiting = most_waiting
        self._records = _whole(path)
        self._waiting: dict[str, list[Fetched]] = {}
        self._bytes = 0  # at most, of what waits
        self._alone: dict[str, Iterator[Fetched]] = {}

    def _next(self, partition: str, position: int, end: int) -> Fetched:
        waiting = self._waiting.setdefault(partition, [])
        while not waiting or waiting[0].offsets[-1] < position:
            if waiting:
                waiting.pop(0)
                continue
            fetched = next(self._alone.get(partition, self._records), None)
            if fetched is None:
                raise self._gone(partition, position, end, "the recording ends before them")
            if fetched.partition == partition or fetched.partition not in self._alone:
                self._keep(fetched, partition)
        waiting[0] = waiting[0].rows(waiting[0].offsets >= position)
        return self._first_up_to(waiting, partition, position, end)

    def _keep(self, fetched: Fetched, awaited: str) -> None:
        self._waiting.setdefault(fetched.partition, []).append(fetched)
        self._bytes += _size(fetched)
        if self._bytes > self._most_waiting:
            sizes = {name: sum(map(_size, waiting)) for name, waiting in self._waiting.items()}
            self._bytes = sum(sizes.values())
            others = sizes.keys() - self._alone.keys() - {awaited}
            if others and self._bytes > self._most_waiting:
                self._set_apart(max(sorted(others), key=sizes.__getitem__))

    def _set_apart(self, name: str) -> None:
        """Forget what waits of a partition, and have it read by itself."""
        self._bytes -= sum(map(_size, self._waiting[name]))
        self._waiting[name].clear()
        self._alone[name] = (fetched for fetched in _whole(self._path) if fetched.partition == name)


def _size(fetched: Fetched) -> int:
    """Return about how many bytes of memory records take."""
    return _RECORD_BYTES * len(fetched.offsets) + sum(len(part or b"") for part in (*fetched.values, *fetched.keys))


def _whole(path: Path) -> Iterator[Fetched]:
    """Yield the records of a recording. Raises SourceError where it is damaged."""
    try:
        yield from read_recording(path)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path}: the recording is damaged: {error}. What came before is trained; record the topic anew."
        ) from error
