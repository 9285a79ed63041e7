"""What is needed of a Kafka client, whichever it is.

Each call blocks for a bounded time, as far as the client keeps its word; whoever calls watches from outside. After
any error the connection is closed and made anew: a client may spin for ever in the call that follows one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values import Int64, Positions

POLL_RECORDS = 1000
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
FORGIVEN = 5  # failures in a row, of a kind that waiting may mend, before they count as final
_HANGS_S = 30.0


class RefusedError(Exception):
    """Raised when the brokers do not let this client do what it has to: its name, its rights, its settings."""


class OutOfRangeError(Exception):
    """Raised when a partition does not hold the position that is read from."""


class BehindEndError(Exception):
    """Raised when a partition ends before the position: it may be a broker that is still starting."""


class TruncatedError(Exception):
    """Raised when brokers have lost records that were read, and may have others at their offsets now."""

    def __init__(self, partitions: Mapping[str, str]) -> None:
        """`partitions` tells, for each that this is true of, where it is known to differ; empty: nothing is known."""
        self.partitions = list(partitions)
        super().__init__(", ".join(f"{name} {where}".rstrip() for name, where in partitions.items()))


class StuckError(Exception):
    """Raised when there are records, but none has come for a long time."""


class TooLargeError(Exception):
    """Raised when brokers do not take the message of that index, for its size."""

    def __init__(self, index: int) -> None:
        self.index = index
        super().__init__(f"message {index} is too large for the brokers")


class CorruptError(Exception):
    """Raised when records cannot be read, for a wrong checksum for one: by the network, or for good."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. A topic that is deleted and made again has another id; empty: an old broker has none."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """n >= 1 records of a partition that follow each other."""

    partition: str
    offsets: Int64  # (n,)
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: list[Sequence[tuple[str, bytes]]] | None
    timestamps_ms: Int64  # (n,) negative where unknown
    epochs: Sequence[int] | None = None  # n leader epochs, which never fall; negative where unknown

    @property
    def epoch(self) -> int:
        """The leader epoch of the last of them; negative where it is unknown."""
        return self.epochs[-1] if self.epochs else -1

    def rows(self, chosen: slice | NDArray[np.bool_]) -> Fetched:
        """Return these records alone."""
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


class Reading(Protocol):
    """A connection that records come from. For one thread, but for `close`."""

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:
        """Read these partitions, from these positions, and no others.

        `epochs` are the leader epochs that what comes before the positions was read in, where they are known: where
        brokers have lost some of it since, `poll` raises TruncatedError. `ids` are those of the topics, empty where
        they are unknown: of another topic that goes by the same name, a client that can does not read.
        """

    def poll(self, timeout_s: float) -> list[Fetched]:
        """Return the next records; an empty list where there are none in time.

        Raises OutOfRangeError, TruncatedError, CorruptError, RefusedError, or another error where the connection is
        of no more use.
        """

    def beginnings(self, partitions: Iterable[str]) -> Positions:
        """Return the oldest offset of each partition."""

    def ends(self, partitions: Iterable[str]) -> Positions:
        """Return the offset after the newest record of each partition that is committed."""

    def since(self, partitions: Iterable[str], timestamp_ms: int) -> Positions:
        """Return the offset of the first record that is not older; partitions without one are left out."""

    def reached(self, partition: str) -> tuple[int, int] | None:
        """Return the offset to be fetched next and the one after the newest record; None where that is unknown."""

    def close(self) -> None:
        """Break everything off, from any thread. May raise."""


class Asking(Protocol):
    """A connection to ask about topics. For one thread, but for `close`."""

    def topics(self, names: Sequence[str] | None) -> dict[str, Topic]:
        """Return those of the named topics that there are; None: all but internal ones. Raises RefusedError."""

    def commit(self, group: str, positions: Positions) -> None:
        """Show these positions as those of a consumer group."""

    def close(self) -> None: ...


@contextmanager
def watched(reading: Reading) -> Iterator[None]:
    """Break off from outside a poll of kafka-python that hangs. One of librdkafka keeps its time by itself."""
    watch = threading.Timer(_HANGS_S, reading.close)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


@dataclass(frozen=True, slots=True)
class Message:
    """What is written to a topic."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None  # None: now

    @property
    def size(self) -> int:
        """Its bytes, but for what brokers add."""
        headers = sum(len(name) + len(value) for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


class Writing(Protocol):
    """A connection that writes to one topic: what it sends again by itself is there once. For one thread."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Write messages, in order, and return when the brokers have them all.

        Raises TooLargeError, RefusedError, or another error where the connection is of no more use. Some of them may
        have been written then.
        """

    def close(self) -> None: ...
