"""What is expected of a Kafka client, whichever library it uses.

Each call blocks for a bounded time, if the library keeps its word; callers watch it from outside.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Any, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from learnd.daemon.values import Int64, Positions

POLL_RECORDS = 1000  # the most that one poll returns
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
FORGIVEN = 5  # failures in a row before an error that waiting may fix counts as final

# Options of both clients.
CONNECT_S = 5.0
REQUEST_S = 15.0
DELIVERY_S = 30.0
RECONNECT_S = 2.0
MOST_BYTES = 16 << 20  # of a fetch or a message
FETCH_WAIT_S = 0.05  # how long a partition's new records may wait while a fetch of other partitions is under way

_HANGS_S = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. If it is deleted and created again its id changes. Old brokers give no id: it is empty."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """n >= 1 consecutive records of a partition."""

    partition: str
    offsets: Int64  # (n,)
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: list[Sequence[tuple[str, bytes]]] | None
    timestamps_ms: Int64  # (n,) negative if unknown
    epochs: Sequence[int] | None = None  # n leader epochs, which never fall; negative if unknown

    @property
    def epoch(self) -> int:
        """The leader epoch of the last record; negative if unknown."""
        return self.epochs[-1] if self.epochs else -1

    def rows(self, chosen: slice | NDArray[np.bool_]) -> Fetched:
        """Return only the chosen records."""
        if isinstance(chosen, slice):
            values, keys = self.values[chosen], self.keys[chosen]
            headers = self.headers and self.headers[chosen]
            epochs = self.epochs and self.epochs[chosen]
        else:
            values, keys = list(compress(self.values, chosen)), list(compress(self.keys, chosen))
            headers = self.headers and list(compress(self.headers, chosen))
            epochs = self.epochs and list(compress(self.epochs, chosen))
        timestamps_ms = self.timestamps_ms[chosen]
        return Fetched(self.partition, self.offsets[chosen], values, keys, headers, timestamps_ms, epochs)


def named_headers(given: Sequence[Any]) -> list[Sequence[tuple[str, bytes]]] | None:
    """Return the headers of n records as a client gives them, without nulls; None if no record has any."""
    return [[(name, value or b"") for name, value in of_one or ()] for of_one in given] if any(given) else None


@dataclass(frozen=True, slots=True)
class Message:
    """What is written to a topic."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None  # None: now

    @property
    def size(self) -> int:
        """Its bytes, without what brokers add."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


class Closable(Protocol):
    def close(self) -> None:
        """Give up the connection. May raise."""


class Consumer(Closable, Protocol):
    """A connection that reads records. For one thread, except `close`, which any thread may call."""

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:
        """Read these partitions from these positions, and no others.

        `epochs` are the leader epochs of the records right before the positions, if known: if brokers have lost some
        of those since, `poll` raises TruncatedError. `ids` are those of the topics, empty if unknown: a client that
        can check them does not read another topic of the same name.
        """

    def poll(self, timeout_s: float) -> list[Fetched]:
        """Return the next records; an empty list if none arrive in time.

        Raises OutOfRangeError, TruncatedError, CorruptError, RefusedError, or another error if the connection is of
        no more use.
        """

    def beginnings(self, partitions: Iterable[str]) -> Positions:
        """Return the oldest offset of each partition."""

    def ends(self, partitions: Iterable[str]) -> Positions:
        """Return the offset after the newest committed record of each partition."""

    def since(self, partitions: Iterable[str], timestamp_ms: int) -> Positions:
        """Return the offset of the first record of that time or later; partitions without one are left out."""

    def reached(self, partition: str) -> tuple[int, int] | None:
        """Return the offset to be fetched next and the one after the newest record; None if unknown."""


class Admin(Closable, Protocol):
    """A connection that asks about topics. For one thread, except `close`."""

    def topics(self, names: Sequence[str] | None) -> dict[str, Topic]:
        """Return the named topics that exist; for None all but internal ones. Raises RefusedError."""

    def held(self, partitions: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the oldest offset of each partition, and the one after its newest committed record."""

    def commit(self, group: str, positions: Positions) -> None:
        """Show these positions as those of a consumer group."""


class Producer(Closable, Protocol):
    """A connection that writes to one topic: a message that it sends again by itself is there once. For one thread."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Write messages in order, and return when the brokers have all of them.

        Raises TooLargeError, RefusedError, or another error if the connection is of no more use. Some messages may
        have been written by then.
        """


def close_quietly(connection: Closable | None) -> None:
    """Close a connection that is not used any more; an error is only logged."""
    if connection is not None:
        try:
            connection.close()
        except Exception as error:  # noqa: BLE001  (nothing depends on it)
            log.debug("kafka.close_failed", reason=str(error))


@contextmanager
def closed_if_it_hangs(consumer: Consumer) -> Iterator[None]:
    """Close the consumer from another thread if the body hangs, as a poll of kafka-python may."""
    watch = threading.Timer(_HANGS_S, consumer.close)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
