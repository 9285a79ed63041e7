"""Reads a recording as if it were the topics that it was made from: the same partitions, the same positions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.clients.contract import Fetched, Topic
from learnd.connectors.kafka.notes import PartitionNotes, gap
from learnd.connectors.kafka.ranges import RangeReader
from learnd.connectors.kafka.schema_registry import SchemaRegistryAwayError
from learnd.connectors.recordings.file_format import RecordingHeader, read_header, read_recording
from learnd.connectors.recordings.settings import RecordingSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_MOST_WAITING = 256 << 20
_RECORD_BYTES = 200  # of memory that a record takes beside its contents

log = structlog.get_logger()


class RecordingSource:
    """A `contracts.Source` over a recording. It takes the notes of the live source, and can repeat its journal."""

    live = False
    repeats = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(
        self,
        settings: RecordingSettings,
        fmt: RecordFormat,
        _state: Path | None = None,
        *,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """`most_waiting`: the bytes of other partitions that are kept in memory while a journal is repeated."""
        self._settings = settings
        self._format = fmt
        self._most_waiting = most_waiting
        self._forget(PartitionNotes({}, []))

    def _forget(self, notes: PartitionNotes) -> None:
        settings = self._settings
        self._notes = notes
        self._batches = BatchBuilder(self._format, settings.max_record_bytes, settings.registry, notes)
        self._positions: Positions = {}
        self._header = RecordingHeader(topics={}, starts={}, ends={})
        self._records: Iterator[Fetched] | None = None
        self._held: Fetched | None = None  # read from the file, not handed out yet
        self._range_reader: _RecordedRangeReader | None = None
        self.exhausted = False
        self.connected = True  # to the registry, if there is one

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        header = read_header(self._settings.path)
        if header is None:
            raise SourceError(
                f"{self._settings.path} cannot be read as a recording of learnd: it is missing, damaged, or another "
                "kind of file. Correct source.recording.path; plain files are read by source.files."
            )
        self._forget(PartitionNotes(positions, notes))
        self._header = header
        self._notes.know({name: Topic(id, 0) for name, id in header.topics.items()})  # noqa: A001
        self._notes.start_at({name: start for name, start in header.starts.items() if name not in self._notes.starts})
        self._positions = self._notes.starts | positions
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
        if (end := self._notes.gap_at(name, position)) is not None:
            batch = gap(name, position, end)
        else:
            before = self._notes.next_gap(name, position)
            if before is not None and before <= fetched.offsets[-1]:
                fetched = fetched.rows(fetched.offsets < before)
            try:
                batch = self._batches.build(fetched, position)
            except SchemaRegistryAwayError as error:
                self._wait_for_registry(error, timeout_s)
                return None
            self.connected = True
        self._positions[name] = int(batch.ends[-1])
        return self._notes.noted(batch)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        if partition not in self._header.starts:
            raise SourceError(f"{partition}: the recording {self._settings.path} holds nothing of it")
        if self._range_reader is None:
            self._range_reader = _RecordedRangeReader(
                self._settings.path, self._notes, self._batches, self._most_waiting
            )
        yield from self._range_reader.read(partition, start, end)
        self._positions[partition] = end

    def lag(self) -> Mapping[str, int]:
        left = {name: end - self._positions[name] for name, end in self._header.ends.items()}
        return {} if self.exhausted else {name: records for name, records in left.items() if records > 0}

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: a recording stays as it is."""

    def close(self) -> None:
        self._records = self._range_reader = None

    def _wait_for_registry(self, error: SchemaRegistryAwayError, timeout_s: float) -> None:
        if self.connected:
            log.warning("registry.away", reason=str(error), consequence="waiting; nothing is lost")
        self.connected = False
        time.sleep(timeout_s)

    def _next(self) -> Fetched | None:
        """Return the next records from the positions on; None at the end."""
        if self._records is None:
            self._records = _whole(self._settings.path)
        while True:
            held = self._held or next(self._records, None)
            if held is None:
                return None
            left = held.offsets >= self._positions[held.partition]
            self._held = self._notes.kept(held.rows(left)) if left.any() else None
            if self._held is not None:
                return self._held


class _RecordedRangeReader(RangeReader):
    """Reads the file once, in its order, and keeps the records of other partitions until their turn comes.

    If that becomes too much, the partition that takes the most is read separately from then on, from the beginning.
    """

    way_out = "Give a recording that holds them."

    def __init__(self, path: Path, notes: PartitionNotes, batches: BatchBuilder, most_waiting: int) -> None:
        super().__init__(notes, batches)
        self._path = path
        self._most_waiting = most_waiting
        self._records = _whole(path)
        self._waiting: dict[str, list[Fetched]] = {}
        self._bytes = 0  # of what waits, at most
        self._separate: dict[str, Iterator[Fetched]] = {}

    def _next(self, partition: str, position: int, end: int) -> Fetched:
        waiting = self._waiting.setdefault(partition, [])
        while not waiting or waiting[0].offsets[-1] < position:
            if waiting:
                waiting.pop(0)
                continue
            fetched = next(self._separate.get(partition, self._records), None)
            if fetched is None:
                raise self._gone(partition, position, end, "the recording ends before them")
            if fetched.partition == partition or fetched.partition not in self._separate:
                self._keep(fetched, partition)
        waiting[0] = waiting[0].rows(waiting[0].offsets >= position)
        return self._first_up_to(waiting, partition, position, end)

    def _keep(self, fetched: Fetched, awaited: str) -> None:
        self._waiting.setdefault(fetched.partition, []).append(fetched)
        self._bytes += _size(fetched)
        if self._bytes > self._most_waiting:
            sizes = {name: sum(map(_size, waiting)) for name, waiting in self._waiting.items()}
            self._bytes = sum(sizes.values())
            others = sizes.keys() - self._separate.keys() - {awaited}
            if others and self._bytes > self._most_waiting:
                self._read_separately(max(sorted(others), key=sizes.__getitem__))

    def _read_separately(self, name: str) -> None:
        """Forget the waiting records of a partition, and read it separately."""
        self._bytes -= sum(map(_size, self._waiting[name]))
        self._waiting[name].clear()
        self._separate[name] = (fetched for fetched in _whole(self._path) if fetched.partition == name)


def _size(fetched: Fetched) -> int:
    """Return about how many bytes of memory records take."""
    return _RECORD_BYTES * len(fetched.offsets) + sum(len(part or b"") for part in (*fetched.values, *fetched.keys))


def _whole(path: Path) -> Iterator[Fetched]:
    """Yield the records of a recording. Raises SourceError if it is damaged."""
    try:
        yield from read_recording(path)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path}: the recording is damaged: {error}. What comes before the damage is trained; record the topic "
            "again."
        ) from error
