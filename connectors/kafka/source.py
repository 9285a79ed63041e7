"""Records of Kafka topics, at positions that the checkpoint alone keeps."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.kafka import clients
from learnd.connectors.kafka.book import Book
from learnd.connectors.kafka.client import Reading
from learnd.connectors.kafka.fetching import Fetching
from learnd.connectors.kafka.rereading import Rereading
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.upkeep import Upkeep
from learnd.connectors.kafka.values import Values
from learnd.daemon.errors import LostError, SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_WAIT_S = 0.1
_HANGS_S = 60.0  # without a sign of life; each call of a client ends within half of that by itself

log = structlog.get_logger()


class KafkaSource:
    """A `contracts.Source` over topics; a partition is `topic/number`, its positions are Kafka's offsets.

    All partitions are assigned by hand: one model has one writer, and no group takes part in what is read. What
    becomes of a start (the latest offset, a time) is decided once, and noted with the first batch. Gaps that
    compaction, aborted transactions and control records leave belong to the span of the record behind them.

    Three threads touch Kafka: one fetches ahead, one looks for partitions and shows positions, and the reader's
    own takes what was fetched, and watches: a fetching thread that hangs is given up and begun anew.
    """

    live = True
    exhausted = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(
        self,
        settings: KafkaSettings,
        fmt: RecordFormat,
        _state: Path | None = None,
        *,
        reading: Callable[[KafkaSettings], Reading] = clients.reading,
        hangs_s: float = _HANGS_S,
    ) -> None:
        self._settings = settings
        self._format = fmt
        self._connect = lambda: reading(settings)
        self._ask = lambda: clients.asking(settings)
        self._hangs_s = hangs_s
        self._book = Book({}, [])
        self._positions: Positions = {}
        self._upkeep: Upkeep | None = None
        self._fetching: Fetching | None = None
        self._rereading: Rereading | None = None

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._rereading = self._upkeep = None
        self._book = Book(positions, notes)
        self._positions = self._book.starts | positions
        self._upkeep = Upkeep(self._settings, self._book, self._ask)
        self._upkeep.commit(positions)  # a kill may have come between the checkpoint and showing it

    def read(self, timeout_s: float) -> RecordBatch | None:
        self._raise_for_upkeep()
        fetching = self._watched()
        try:
            found = fetching.found.get(timeout=timeout_s) if timeout_s > 0 else fetching.found.get_nowait()
        except queue.Empty:
            return None
        if isinstance(found, SourceError):
            raise found
        self._positions[found.partition] = int(found.ends[-1])
        return self._book.noted(found)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        if partition not in self._book.starts:
            raise SourceError(
                f"{partition}: the journal needs its records from offset {start} to {end}, but no note says where it "
                "started. The state directory is not whole: start afresh in another one."
            )
        yield from self._await_topics()
        if self._rereading is None:
            self._rereading = Rereading(self._settings, self._book, self._values(), self._connect)
        try:
            for batch in self._rereading.read(partition, start, end):
                if batch is None:
                    self._raise_for_upkeep()
                yield batch
        except LostError:
            assert self._upkeep is not None, "open comes first"
            self._upkeep.look_again()
            yield from self._await_topics()
            raise
        self._positions[partition] = end

    def _await_topics(self) -> Iterator[None]:
        """Wait until the topics are known to be those of the state: others may have the same names and offsets."""
        assert self._upkeep is not None, "open comes first"
        while True:
            self._raise_for_upkeep()
            if self._upkeep.found.wait(_WAIT_S):
                return
            yield None

    @property
    def connected(self) -> bool:
        """Whether the brokers answer, and its partitions are being read."""
        upkeep, fetching = self._upkeep, self._fetching
        return upkeep is not None and upkeep.connected and fetching is not None and fetching.assigned

    def lag(self) -> Mapping[str, int]:
        fetching = self._fetching
        if fetching is None:
            return {}
        reached = {} if fetching.found.qsize() else fetching.reached
        lag = {}
        for name, end in list(fetching.ends.items()):
            position = max(self._positions.get(name, self._book.starts.get(name, 0)), reached.get(name, 0))
            if end > position:
                lag[name] = end - position
        return lag

    def commit(self, saved: Positions, needed: Positions) -> None:  # noqa: ARG002  (Kafka deletes by its own rules)
        self._book.forget(saved)
        if self._upkeep is not None:
            self._upkeep.commit(dict(saved))

    def close(self) -> None:
        if self._rereading is not None:
            self._rereading.close()
        if self._fetching is not None:
            self._fetching.close()
        if self._upkeep is not None:
            self._upkeep.close()

    def _watched(self) -> Fetching:
        """Return the fetching thread: begun now, or anew where it hangs."""
        fetching = self._fetching
        if fetching is not None and time.monotonic() - fetching.beat_s > self._hangs_s:
            log.error("kafka.client_hangs", seconds=self._hangs_s, consequence="given up, and connecting anew")
            fetching.give_up()
            fetching = None
        if fetching is None:
            if self._rereading is not None:
                self._rereading.close()
                self._rereading = None
            assert self._upkeep is not None, "open comes first"
            positions = dict(self._positions)
            self._fetching = fetching = Fetching(
                self._settings, self._book, self._values(), self._upkeep, self._connect, positions, self._hangs_s / 2
            )
        return fetching

    def _values(self) -> Values:
        settings = self._settings
        return Values(self._format, settings.max_record_bytes, settings.registry, self._book)

    def _raise_for_upkeep(self) -> None:
        if self._upkeep is not None and self._upkeep.error is not None:
            raise self._upkeep.error
