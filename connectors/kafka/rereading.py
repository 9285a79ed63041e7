"""Reads the spans of journaled calls again from the brokers, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from connectors.kafka.book import Book
from connectors.kafka.client import CorruptError, Fetched, OutOfRangeError, Reading, RefusedError, watched
from connectors.kafka.ranges import PATIENCE_S, RETRY_S, Ranges, first_up_to, gone
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.trouble import TROUBLE
from connectors.kafka.upkeep import refused
from connectors.kafka.values import Values
from daemon.errors import SourceError
from daemon.values import Positions

_POLL_S = 0.5

log = structlog.get_logger()


class Rereading(Ranges):
    """A connection for ranges. What was fetched beyond a range is kept for the next one of its partition."""

    def __init__(self, settings: KafkaSettings, book: Book, values: Values, connect: Callable[[], Reading]) -> None:
        super().__init__(book, values)
        self._settings = settings
        self._connect = connect
        self._reading: Reading | None = None
        self._assigned: tuple[str, int] | None = None  # the partition that is fetched, and from where
        self._fetched: dict[str, list[Fetched]] = {}  # in order, not handed out yet
        self._begins: Positions = {}  # where that begins

    def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            try:
                reading.close()
            except Exception as error:  # noqa: BLE001  (it is not used any more)
                log.debug("kafka.close_failed", reason=str(error))

    def _next(self, partition: str, position: int, end: int) -> Fetched:
        waiting = self._fetched.setdefault(partition, [])
        if self._begins.get(partition) != position:
            waiting.clear()
        if not waiting:
            self._fetch(partition, position, end)
        first = first_up_to(waiting, partition, position, end)
        self._begins[partition] = int(first.offsets[-1]) + 1
        return first

    def _fetch(self, partition: str, position: int, end: int) -> None:
        """Wait for records of a partition; reconnect where that is of use."""
        deadline = time.monotonic() + PATIENCE_S
        reason = "nothing came"
        while time.monotonic() < deadline:
            try:
                self._poll(partition, position, end)
            except RefusedError as error:
                raise refused(self._settings, error) from error
            except OutOfRangeError as error:
                raise gone(partition, position, end, "the partition does not reach there any more") from error
            except SourceError:
                raise
            except Exception as error:  # noqa: BLE001  (whatever a client throws, it is built anew)
                reason = f"{type(error).__name__}: {error}"
                self.close()
                if isinstance(error, CorruptError):
                    deadline -= PATIENCE_S / 3
                time.sleep(RETRY_S)
                continue
            if self._fetched[partition]:
                return
        raise SourceError(
            f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they cannot be "
            f"read: {reason}; {TROUBLE.text}. Nothing is lost: start again once {', '.join(self._settings.servers)} "
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
                raise gone(partition, position, end, f"the partition ends at {last}")
            # One at a time: kafka-python 3.0.12 may never return what it has of a partition that was paused.
            reading.assign({partition: position})
            self._assigned = partition, position
        with watched(reading):
            polled = reading.poll(_POLL_S)
        for fetched in polled:
            self._fetched[partition].append(fetched)
            self._assigned = partition, int(fetched.offsets[-1]) + 1
