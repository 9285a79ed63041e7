"""Reads the records of journaled calls again from the brokers, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.clients import failures
from learnd.connectors.kafka.clients.contract import (
    FORGIVEN,
    RETRY_S,
    Consumer,
    Fetched,
    close_quietly,
    closed_if_it_hangs,
)
from learnd.connectors.kafka.notes import PartitionNotes
from learnd.connectors.kafka.ranges import RangeReader
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.daemon.errors import LearndError, SourceError
from learnd.daemon.values import Positions

_POLL_S = 0.5
_IDLE_S = 30.0  # without a record, before connecting again

log = structlog.get_logger()


class BrokerRangeReader(RangeReader):
    """Reads ranges by one connection. Records beyond a range are kept for the next one of the partition.

    While brokers are away it waits, like normal reading. Errors that look as if records were gone are forgiven as
    often as there.
    """

    way_out = (
        "Bring them back; or give up what was trained after it, and go on from there with what the topic has: "
        "source.kafka.on_data_loss: skip."
    )

    def __init__(
        self, settings: KafkaSettings, notes: PartitionNotes, batches: BatchBuilder, connect: Callable[[], Consumer]
    ) -> None:
        super().__init__(notes, batches)
        self._settings = settings
        self._connect = connect
        self._consumer: Consumer | None = None
        self._assigned: tuple[str, int] | None = None  # the partition that is fetched, and from where
        self._fetched: dict[str, list[Fetched]] = {}  # in order, not handed out yet
        self._begins: Positions = {}  # where that begins
        self._failures = 0  # in a row
        self._retry_s = self._came_s = time.monotonic()

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        close_quietly(consumer)

    def _next(self, partition: str, position: int, end: int) -> Fetched | None:
        waiting = self._fetched.setdefault(partition, [])
        if self._begins.get(partition) != position:
            waiting.clear()
        if not waiting:
            self._fetch(partition, position, end)
        if not waiting:
            return None
        first = self._first_up_to(waiting, partition, position, end)
        if not self._notes.still_holds(first):
            raise self._gone(partition, position, end, "brokers have lost them, and written others at their offsets")
        self._begins[partition] = int(first.offsets[-1]) + 1
        return first

    def _fetch(self, partition: str, position: int, end: int) -> None:
        """Wait a moment for records of a partition. After an error, connect again after a pause."""
        pause_s = self._retry_s - time.monotonic()
        if pause_s > 0:
            time.sleep(min(pause_s, _POLL_S))
            return
        try:
            self._poll(partition, position, end)
        except failures.RefusedError as error:
            raise failures.refusal(self._settings.servers, error) from error
        except LearndError:
            raise
        except Exception as error:
            self.close()
            self._failures += 1
            if self._failures > FORGIVEN and (final := self._final(partition, position, end, error)) is not None:
                raise final from error
            log.warning(
                "kafka.trouble",
                error=type(error).__name__,
                reason=failures.reason_of(error),
                consequence="reconnecting",
            )
            self._came_s = time.monotonic()
            self._retry_s = self._came_s + RETRY_S[min(self._failures, len(RETRY_S)) - 1]

    def _poll(self, partition: str, position: int, end: int) -> None:
        consumer = self._consumer
        if consumer is None:
            consumer = self._consumer = self._connect()
            self._assigned = None
        if self._assigned != (partition, position):
            last = consumer.ends([partition])[partition]
            if end > last:
                raise failures.BehindEndError(f"the partition ends at {last}")
            # One at a time: kafka-python 3.0.12 may never return the records of a partition that was paused.
            consumer.assign({partition: position}, {}, self._notes.topics)
            self._assigned = partition, position
            self._came_s = time.monotonic()
        with closed_if_it_hangs(consumer):
            polled = consumer.poll(_POLL_S)
        for fetched in polled:
            self._fetched[partition].append(fetched)
            self._assigned = partition, int(fetched.offsets[-1]) + 1
            self._failures, self._came_s = 0, time.monotonic()
        if not polled:
            self._check_progress(consumer, partition, end)

    def _check_progress(self, consumer: Consumer, partition: str, end: int) -> None:
        """Raise an error if nothing will arrive: a fetch that never comes back shows in nothing else."""
        reached = consumer.reached(partition)
        if reached is not None and reached[0] >= end:
            raise failures.OutOfRangeError(f"{partition}: nothing is left up to {end}")
        if time.monotonic() - self._came_s > _IDLE_S:
            raise failures.StuckError(f"{partition}: no record has come for {_IDLE_S:g} s, though there are some")

    def _final(self, partition: str, position: int, end: int, error: Exception) -> SourceError | None:
        """Return the error to stop with if retrying has not helped; None for an outage, which may last."""
        if isinstance(error, failures.OutOfRangeError | failures.BehindEndError | failures.TruncatedError):
            why = "the partition no longer holds them" if isinstance(error, failures.OutOfRangeError) else str(error)
            return self._gone(partition, position, end, why)
        if isinstance(error, failures.CorruptError):
            return SourceError(
                f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they cannot "
                f"be read: {error}. Nothing was changed: the last checkpoint is whole. Repair the partition, and start "
                "again."
            )
        return None
