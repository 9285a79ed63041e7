"""Reads the spans of journaled calls again, partition by partition, each record once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import structlog

from connectors.kafka.book import Book, gap, to_batch
from connectors.kafka.client import CorruptError, Fetched, OutOfRangeError, Reading, RefusedError, last_trouble
from connectors.kafka.upkeep import refused
from connectors.settings import KafkaSettings
from daemon.errors import SourceError
from daemon.values import Positions, RecordBatch

_POLL_S = 0.5
_PATIENCE_S = 60.0  # without anything coming, before giving up
_HANGS_S = 30.0  # in one poll, before breaking it off from outside
_RETRY_S = 0.5

log = structlog.get_logger()


class Rereading:
    """A connection for ranges. What was fetched beyond a range is kept for the next one of its partition."""

    def __init__(self, settings: KafkaSettings, book: Book, connect: Callable[[], Reading]) -> None:
        self._settings = settings
        self._book = book
        self._connect = connect
        self._reading: Reading | None = None
        self._assigned: tuple[str, int] | None = None  # the partition that is fetched, and from where
        self._fetched: dict[str, list[Fetched]] = {}  # in order, not handed out yet
        self._begins: Positions = {}  # where that begins

    def read(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        """Yield the records from `start` up to `end`. Raises SourceError where they are gone, or do not come."""
        position = start
        while position < end:
            skipped = self._book.gap_at(partition, position)
            if skipped is not None:
                batch = gap(partition, position, skipped)
            else:
                limit = min(end, self._book.next_gap(partition, position) or end)
                batch = to_batch(self._next(partition, position, limit), position, self._settings.max_record_bytes)
            position = int(batch.ends[-1])
            if position > end:
                raise self._gone(partition, position, end, "a gap that was skipped has grown")
            yield batch

    def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            try:
                reading.close()
            except Exception as error:  # noqa: BLE001  (it is not used any more)
                log.debug("kafka.close_failed", reason=str(error))

    def _next(self, partition: str, position: int, end: int) -> Fetched:
        """Return records from `position` on, none of them at `end` or behind."""
        waiting = self._fetched.setdefault(partition, [])
        if self._begins.get(partition) != position:
            waiting.clear()
        if not waiting:
            self._fetch(partition, position, end)
        first = waiting.pop(0)
        if first.offsets[0] >= end:
            raise self._gone(partition, position, end, f"the next record is at {first.offsets[0]}")
        if first.offsets[-1] >= end:
            cut = int(np.searchsorted(first.offsets, end))
            waiting.insert(0, _rows(first, slice(cut, None)))
            first = _rows(first, slice(0, cut))
        self._begins[partition] = int(first.offsets[-1]) + 1
        return first

    def _fetch(self, partition: str, position: int, end: int) -> None:
        """Wait for records of a partition; reconnect where that is of use."""
        deadline = time.monotonic() + _PATIENCE_S
        reason = "nothing came"
        while time.monotonic() < deadline:
            try:
                self._poll(partition, position, end)
            except RefusedError as error:
                raise refused(self._settings, error) from error
            except OutOfRangeError as error:
                raise self._gone(partition, position, end, "the partition does not reach there any more") from error
            except SourceError:
                raise
            except Exception as error:  # noqa: BLE001  (whatever a client throws, it is built anew)
                reason = f"{type(error).__name__}: {error}"
                self.close()
                if isinstance(error, CorruptError):
                    deadline -= _PATIENCE_S / 3
                time.sleep(_RETRY_S)
                continue
            if self._fetched[partition]:
                return
        raise SourceError(
            f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they cannot be "
            f"read: {reason}; {last_trouble()}. Nothing is lost: start again once {', '.join(self._settings.servers)} "
            "can be reached."
        )

    def _poll(self, partition: str, position: int, end: int) -> None:
        reading = self._reading
        if reading is None:
            reading = self._reading = self._connect()
            self._assigned = None
        if self._assigned != (partition, position):
            last = reading.ends([partition])[partition]
            if end > last:
                raise self._gone(partition, position, end, f"the partition ends at {last}")
            # One at a time: kafka-python 3.0.12 may never return what it has of a partition that was paused.
            reading.assign({partition: position})
            self._assigned = partition, position
        for fetched in self._watched_poll(reading):
            self._fetched[partition].append(fetched)
            self._assigned = partition, int(fetched.offsets[-1]) + 1

    def _watched_poll(self, reading: Reading) -> list[Fetched]:
        watch = threading.Timer(_HANGS_S, reading.close)
        watch.daemon = True
        watch.start()
        try:
            return reading.poll(_POLL_S)
        finally:
            watch.cancel()

    def _gone(self, partition: str, position: int, end: int, why: str) -> SourceError:
        return SourceError(
            f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they are gone: "
            f"{why}. Going on would train another model than this stream gives: start afresh in another state "
            "directory (--state)."
        )


def _rows(fetched: Fetched, rows: slice) -> Fetched:
    return replace(
        fetched,
        offsets=fetched.offsets[rows],
        values=fetched.values[rows],
        keys=fetched.keys[rows],
        headers=fetched.headers and fetched.headers[rows],
        timestamps_ms=fetched.timestamps_ms[rows],
    )
