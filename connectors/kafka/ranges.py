"""Reads the spans of journaled calls again, each record once, wherever the records come from."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np

from connectors.kafka.book import Book, gap
from connectors.kafka.client import Fetched
from connectors.kafka.registry import RegistryAwayError
from connectors.kafka.values import Values
from daemon.errors import SourceError
from daemon.values import RecordBatch

PATIENCE_S = 60.0  # without anything coming, before giving up
RETRY_S = 0.5


class Ranges(ABC):
    """Spans of partitions, as they were when they were handed out first: the notes tell what was left out of them."""

    def __init__(self, book: Book, values: Values) -> None:
        self._book = book
        self._values = values

    def read(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        """Yield the records from `start` up to `end`. Raises SourceError where they are gone, or do not come."""
        position = at = start  # `at` is past records that were left out, which belong to the span of the next one
        while position < end:
            skipped = self._book.gap_at(partition, position)
            if skipped is not None:
                batch = gap(partition, position, skipped)
            else:
                limit = min(end, self._book.next_gap(partition, position) or end)
                fetched = self._next(partition, self._book.jump(partition, at), limit)
                at = int(fetched.offsets[-1]) + 1
                kept = self._book.kept(fetched)
                if kept is None:
                    continue
                batch = self._batch(kept, position)
            position = int(batch.ends[-1])
            at = max(at, position)
            if position > end:
                raise gone(partition, position, end, "a gap that was skipped has grown")
            yield batch

    @abstractmethod
    def _next(self, partition: str, position: int, end: int) -> Fetched:
        """Return records from `position` on, none of them at `end` or behind. Raises SourceError."""

    def _batch(self, fetched: Fetched, position: int) -> RecordBatch:
        """Return fetched records as they were handed out before; wait for the registry, if that is away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._values.batch(fetched, position, again=True)
            except RegistryAwayError as error:
                if time.monotonic() >= deadline:
                    raise SourceError(
                        f"{error}. The journal needs its schemas. Nothing is lost: start again once it can be reached."
                    ) from error
                time.sleep(RETRY_S)


def first_up_to(waiting: list[Fetched], partition: str, position: int, end: int) -> Fetched:
    """Take the first of what waits, but for records at `end` or behind. Raises SourceError where there is none."""
    first = waiting.pop(0)
    if first.offsets[0] >= end:
        raise gone(partition, position, end, f"the next record is at {first.offsets[0]}")
    if first.offsets[-1] >= end:
        cut = int(np.searchsorted(first.offsets, end))
        waiting.insert(0, first.rows(slice(cut, None)))
        first = first.rows(slice(0, cut))
    return first


def gone(partition: str, position: int, end: int, why: str) -> SourceError:
    """Return the error for records that the journal needs."""
    return SourceError(
        f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they are gone: "
        f"{why}. Going on would train another model than this stream gives: start afresh in another state "
        "directory (--state)."
    )
