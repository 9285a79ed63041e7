"""Records of Kafka topics. The positions are kept in the checkpoint only."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.broker_ranges import BrokerRangeReader
from learnd.connectors.kafka.clients import connect
from learnd.connectors.kafka.clients.contract import Consumer
from learnd.connectors.kafka.fetch_thread import FetchThread
from learnd.connectors.kafka.notes import PartitionNotes
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.topics import TopicWatch
from learnd.daemon.errors import LostError, SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_WAIT_S = 0.1
_HANGS_S = 60.0  # without a sign of life; each call of a client ends by itself within half of that

log = structlog.get_logger()


class KafkaSource:
    """A `contracts.Source` over topics; a partition is `topic/number`, its positions are Kafka's offsets.

    All partitions are assigned explicitly: a model has one writer, and no consumer group decides what is read. Where
    to start (at the latest offset, at a time) is decided once, and noted with the first batch. Gaps that compaction,
    aborted transactions and control records leave belong to the span of the record after them.

    Three threads touch Kafka: one fetches ahead, one watches the topics and shows positions, and the reader's own
    takes what was fetched. The last one also watches the first: if it hangs it is given up, and a new one is started.
    """

    live = True
    exhausted = False
    repeats = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(
        self,
        settings: KafkaSettings,
        fmt: RecordFormat,
        _state: Path | None = None,
        *,
        consumer: Callable[[KafkaSettings], Consumer] = connect.consumer,
        hangs_s: float = _HANGS_S,
    ) -> None:
        self._settings = settings
        self._format = fmt
        self._connect = lambda: consumer(settings)
        self._hangs_s = hangs_s
        self._forget(PartitionNotes({}, []))

    def _forget(self, notes: PartitionNotes) -> None:
        self._notes = notes
        self._positions: Positions = {}
        self._topic_watch: TopicWatch | None = None
        self._fetch_thread: FetchThread | None = None
        self._range_reader: BrokerRangeReader | None = None

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._forget(PartitionNotes(positions, notes))
        self._positions = self._notes.starts | positions
        topic_watch = self._topic_watch = TopicWatch(self._settings, self._notes, lambda: connect.admin(self._settings))
        topic_watch.start()
        topic_watch.commit(positions)  # a kill may have come after the checkpoint and before they were shown

    def read(self, timeout_s: float) -> RecordBatch | None:
        self._raise_for_topics()
        fetch_thread = self._running_fetch_thread()
        try:
            found = fetch_thread.found.get(timeout=timeout_s) if timeout_s > 0 else fetch_thread.found.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, SourceError):
            raise found
        self._positions[found.partition] = int(found.ends[-1])
        return self._notes.noted(found)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        if partition not in self._notes.starts:
            raise SourceError(
                f"{partition}: the journal needs its records from offset {start} to {end}, but no note says where it "
                "started. The state directory is incomplete: start afresh in another one."
            )
        yield from self._await_topics()
        if self._range_reader is None:
            self._range_reader = BrokerRangeReader(self._settings, self._notes, self._batches(), self._connect)
        try:
            for batch in self._range_reader.read(partition, start, end):
                if batch is None:
                    self._raise_for_topics()
                yield batch
        except LostError:  # if the topic itself is gone, that is the error to raise
            assert self._topic_watch is not None, "open comes first"
            self._topic_watch.look_again()
            yield from self._await_topics()
            raise
        self._positions[partition] = end

    def _await_topics(self) -> Iterator[None]:
        """Wait until it is known that the topics are those of the state, and not others of the same name."""
        assert self._topic_watch is not None, "open comes first"
        while True:
            self._raise_for_topics()
            if self._topic_watch.found.wait(_WAIT_S):
                return
            yield None

    @property
    def connected(self) -> bool:
        """Whether the brokers answer and the partitions are being read."""
        topic_watch, fetch_thread = self._topic_watch, self._fetch_thread
        return topic_watch is not None and topic_watch.connected and fetch_thread is not None and fetch_thread.assigned

    def lag(self) -> Mapping[str, int]:
        fetch_thread, topic_watch = self._fetch_thread, self._topic_watch
        if fetch_thread is None or topic_watch is None:
            return {}
        reached = {} if fetch_thread.found.qsize() else fetch_thread.reached
        ends = {name: end for name, (_, end) in topic_watch.held.items()}  # also while nothing is fetched
        for name, end in list(fetch_thread.ends.items()):
            ends[name] = max(end, ends.get(name, 0))
        lag = {}
        for name, end in ends.items():
            start = self._positions.get(name, self._notes.starts.get(name))  # None: not chosen yet
            if start is not None and (position := max(start, reached.get(name, 0))) < end:
                lag[name] = end - position
        return lag

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {} if self._topic_watch is None else self._topic_watch.held

    def commit(self, saved: Positions, needed: Positions) -> None:  # noqa: ARG002  (Kafka deletes by its own rules)
        self._notes.forget(saved)
        if self._topic_watch is not None:
            self._topic_watch.commit(dict(saved))

    def close(self) -> None:
        for part in (self._range_reader, self._fetch_thread, self._topic_watch):
            if part is not None:
                part.close()

    def _running_fetch_thread(self) -> FetchThread:
        """Return the fetch thread. It is started if there is none yet, or if the one before it hangs."""
        fetch_thread = self._fetch_thread
        if fetch_thread is not None and time.monotonic() - fetch_thread.beat_s > self._hangs_s:
            log.error("kafka.client_hangs", seconds=self._hangs_s, consequence="given up; reconnecting")
            fetch_thread.give_up()
            fetch_thread = None
        if fetch_thread is None:
            if self._range_reader is not None:
                self._range_reader.close()
                self._range_reader = None
            assert self._topic_watch is not None, "open comes first"
            self._fetch_thread = fetch_thread = FetchThread(
                self._settings,
                self._notes,
                self._batches(),
                self._topic_watch,
                self._connect,
                dict(self._positions),
                self._hangs_s / 2,
            )
            fetch_thread.start()
        return fetch_thread

    def _batches(self) -> BatchBuilder:
        settings = self._settings
        return BatchBuilder(self._format, settings.max_record_bytes, settings.registry, self._notes)

    def _raise_for_topics(self) -> None:
        if self._topic_watch is not None and self._topic_watch.error is not None:
            raise self._topic_watch.error
