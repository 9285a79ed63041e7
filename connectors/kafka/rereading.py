"""Reads the spans of journaled calls again from the brokers, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from learnd.connectors.kafka.book import Book
from learnd.connectors.kafka.client import (
    FORGIVEN,
    RETRY_S,
    BehindEndError,
    CorruptError,
    Fetched,
    OutOfRangeError,
    Reading,
    RefusedError,
    StuckError,
    TruncatedError,
    watched,
)
from learnd.connectors.kafka.ranges import Ranges
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.connectors.kafka.upkeep import refused
from learnd.connectors.kafka.values import Values
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Positions

_POLL_S = 0.5
_IDLE_S = 30.0  # without a record, before connecting anew

log = structlog.get_logger()


class Rereading(Ranges):
    """A connection for ranges. What was fetched beyond a range is kept for the next one of its partition.

    While brokers are away it waits, as reading on does; what looks as if records were gone is forgiven as often.
    """

    way_out = (
        "Bring them back; or give up what was trained after it, and go on from there with what the topic has: "
        "source.kafka.on_data_loss: skip."
    )

    def __init__(self, settings: KafkaSettings, book: Book, values: Values, connect: Callable[[], Reading]) -> None:
        super().__init__(book, values)
        self._settings = settings
        self._connect = connect
        self._reading: Reading | None = None
        self._assigned: tuple[str, int] | None = None  # the partition that is fetched, and from where
        self._fetched: dict[str, list[Fetched]] = {}  # in order, not handed out yet
        self._begins: Positions = {}  # where that begins
        self._failures = 0  # in a row
        self._retry_s = self._came_s = time.monotonic()

    def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            try:
                reading.close()
            except Exception as error:  # noqa: BLE001  (it is not used any more)
                log.debug("kafka.close_failed", reason=str(error))

    def _next(self, partition: str, position: int, end: int) -> Fetched | None:
        waiting = self._fetched.setdefault(partition, [])
        if self._begins.get(partition) != position:
            waiting.clear()
        if not waiting:
            self._fetch(partition, position, end)
        if not waiting:
            return None
        first = self._first_up_to(waiting, partition, position, end)
        if not self._book.still_holds(first):
            raise self._gone(partition, position, end, "brokers have lost them, and written others at their offsets")
        self._begins[partition] = int(first.offsets[-1]) + 1
        return first

    def _fetch(self, partition: str, position: int, end: int) -> None:
        """Wait a moment for records of a partition; after an error connect anew, in time."""
        pause_s = self._retry_s - time.monotonic()
        if pause_s > 0:
            time.sleep(min(pause_s, _POLL_S))
            return
        try:
            self._poll(partition, position, end)
        except RefusedError as error:
            raise refused(self._settings, error) from error
        except Exception as error:
            self.close()
            self._failures += 1
            if self._failures > FORGIVEN and (final := self._final(partition, position, end, error)) is not None:
                raise final from error
            reason = str(error) or TROUBLE.text
            log.warning("kafka.trouble", error=type(error).__name__, reason=reason, consequence="connecting anew")
            self._came_s = time.monotonic()
            self._retry_s = self._came_s + RETRY_S[min(self._failures, len(RETRY_S)) - 1]

    def _poll(self, partition: str, position: int, end: int) -> None:
        reading = self._reading
        if reading is None:
            reading = self._reading = self._connect()
            self._assigned = None
        if self._assigned != (partition, position):
            last = reading.ends([partition])[partition]
            if end > last:
                raise BehindEndError(f"the partition ends at {last}")
            # One at a time: kafka-python 3.0.12 may never return what it has of a partition that was paused.
            reading.assign({partition: position}, {}, self._book.topics)
            self._assigned = partition, position
            self._came_s = time.monotonic()
        with watched(reading):
            polled = reading.poll(_POLL_S)
        for fetched in polled:
            self._fetched[partition].append(fetched)
            self._assigned = partition, int(fetched.offsets[-1]) + 1
            self._failures, self._came_s = 0, time.monotonic()
        if not polled:
            self._look(reading, partition, end)

    def _look(self, reading: Reading, partition: str, end: int) -> None:
        """Raise an error where nothing will come: a fetch that never comes back shows in nothing else."""
        reached = reading.reached(partition)
        if reached is not None and reached[0] >= end:
            raise OutOfRangeError(f"{partition}: nothing is left up to {end}")
        if time.monotonic() - self._came_s > _IDLE_S:
            raise StuckError(f"{partition}: no record has come for {_IDLE_S:g} s, though there are some")

    def _final(self, partition: str, position: int, end: int, error: Exception) -> SourceError | None:
        """Return what to stop with where trying again has not helped; None where an outage may go on for long."""
        if isinstance(error, OutOfRangeError | BehindEndError | TruncatedError):
            why = "the partition no longer holds them" if isinstance(error, OutOfRangeError) else str(error)
            return self._gone(partition, position, end, why)
        if isinstance(error, CorruptError):
            return SourceError(
                f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they cannot "
                f"be read: {error}. Nothing was changed: the last checkpoint is whole. Mend the partition, and start "
                "again."
            )
        return None
