"""Reads the records of journaled calls again, from brokers or from a recording."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import structlog

from learnd.connectors.kafka.batches import BatchBuilder
from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.kafka.notes import PartitionNotes, gap
from learnd.connectors.kafka.schema_registry import SchemaRegistryAwayError
from learnd.daemon.errors import LostError
from learnd.daemon.values import RecordBatch

_REGISTRY_RETRY_S = 0.5

log = structlog.get_logger()


class RangeReader(ABC):
    """Reads ranges of partitions as they were handed out first: the notes say what was left out of them."""

    way_out: ClassVar[str]
    """What to do if records are gone."""

    def __init__(self, notes: PartitionNotes, batches: BatchBuilder) -> None:
        self._notes = notes
        self._batches = batches
        self._registry_away = False

    def read(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        """Yield the records from `start` up to `end`; None when none arrived in time.

        Raises LostError if they are gone, SourceError if they cannot be read.
        """
        position = at = start  # `at` is past records that were left out; they belong to the span of the next one
        while position < end:
            skipped = self._notes.gap_at(partition, position)
            if skipped is not None:
                batch: RecordBatch | None = gap(partition, position, skipped)
            else:
                limit = min(end, self._notes.next_gap(partition, position) or end)
                fetched = self._next(partition, self._notes.jump(partition, at), limit)
                if fetched is None:
                    yield None
                    continue
                at = int(fetched.offsets[-1]) + 1
                kept = self._notes.kept(fetched)
                if kept is None:
                    continue
                while (batch := self._batch(kept, position)) is None:
                    yield None
            assert batch is not None
            position = int(batch.ends[-1])
            at = max(at, position)
            if position > end:
                raise self._gone(partition, position, end, "a gap that was skipped has grown")
            yield batch

    @abstractmethod
    def _next(self, partition: str, position: int, end: int) -> Fetched | None:
        """Return records from `position` on, all before `end`; None if none arrived in time.

        Raises what `read` raises.
        """

    def _batch(self, fetched: Fetched, position: int) -> RecordBatch | None:
        """Return fetched records as they were handed out before; None after a moment if the registry is away."""
        try:
            batch = self._batches.build(fetched, position, again=True)
        except SchemaRegistryAwayError as error:
            if not self._registry_away:
                log.warning("registry.away", reason=str(error), consequence="waiting; nothing is lost")
            self._registry_away = True
            time.sleep(_REGISTRY_RETRY_S)
            return None
        self._registry_away = False
        return batch

    def _first_up_to(self, waiting: list[Fetched], partition: str, position: int, end: int) -> Fetched:
        """Take the first of the waiting records up to `end`. Raises LostError if there is none before it."""
        first = waiting.pop(0)
        if first.offsets[0] >= end:
            raise self._gone(partition, position, end, f"the next record is at {first.offsets[0]}")
        if first.offsets[-1] >= end:
            cut = int(np.searchsorted(first.offsets, end))
            waiting.insert(0, first.rows(slice(cut, None)))
            first = first.rows(slice(0, cut))
        return first

    def _gone(self, partition: str, position: int, end: int, why: str) -> LostError:
        """Return the error for records that the journal needs and that are gone."""
        return LostError(
            f"{partition}: the journal needs the records at offsets {position} to {end - 1} again, and they are gone: "
            f"{why}. Nothing was changed: the last checkpoint is whole. {self.way_out}"
        )
