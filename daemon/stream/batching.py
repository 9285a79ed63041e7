"""Cuts decoded blocks into calls.

Samples keep their order, and an update always takes B of them. The number of updates in a call depends on how many
samples are waiting, but no result depends on that number. A call also ends where something is due at a count of
samples (a score of the anchor set, for example), so that it happens after the same sample at any speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnd.daemon.values import Block, Call, Fate, Int64, KeyedRows, Note, Origin, Rejection, Samples, SampleSpec, Span

_MOST_UNTRAINED = 10_000  # records in a row that do not train, before a call without updates moves past them


@dataclass(slots=True)
class _Pending:
    """A block, and how much of it was consumed: in records, in samples, in rejections."""

    block: Block
    train_records: Int64  # record index of each sample that trains
    arrived_s: float
    record: int = 0
    trained: int = 0
    row: int = 0
    rejection: int = 0
    rows_of_train: Int64 | None = None  # which of the block's samples train; None if all of them do
    note_taken: bool = False

    @classmethod
    def of(cls, block: Block, arrived_s: float) -> _Pending:
        train = block.fates == Fate.TRAIN
        train_records = np.flatnonzero(train)
        every_row_trains = len(train_records) == len(block.samples)
        rows = None if every_row_trains else np.flatnonzero(train[block.sampled])
        return cls(block, train_records, arrived_s, rows_of_train=rows)

    @property
    def waiting(self) -> int:
        return len(self.train_records) - self.trained


@dataclass(slots=True)
class _Parts:
    """What was gathered for one call so far."""

    spans: list[Span] = field(default_factory=list)
    trained: list[Samples] = field(default_factory=list)
    held: list[Samples] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    new_classes: list[str] = field(default_factory=list)
    keyed: list[KeyedRows] = field(default_factory=list)
    records: int = 0
    event_time_s: float | None = None


class Batcher:
    """Holds blocks until they are taken as calls. Not thread-safe."""

    def __init__(self, batch_size: int, spec: SampleSpec, *, origins: bool = False) -> None:
        """`origins`: whether calls say where each sample comes from."""
        self.batch_size = batch_size
        self._origins = origins
        self._none = spec.zeros(0)
        self._blocks: deque[_Pending] = deque()
        self.waiting = 0  # samples that would train
        self.records = 0  # records of any kind

    def add(self, block: Block, arrived_s: float = 0.0) -> None:
        pending = _Pending.of(block, arrived_s)
        self._blocks.append(pending)
        self.waiting += pending.waiting
        self.records += len(block)

    @property
    def oldest_arrival_s(self) -> float | None:
        """When the block of the first waiting record arrived; None if nothing waits."""
        return self._blocks[0].arrived_s if self._blocks else None

    @property
    def only_untrained(self) -> bool:
        """Whether only records that do not train wait, and so many that a call should move past them."""
        return self.waiting == 0 and self.records > _MOST_UNTRAINED

    def take(self, most_updates: int) -> Call | None:
        """Return a call of full batches, up to the last record that they need; None if there is no full batch."""
        updates = min(self.waiting // self.batch_size, most_updates)
        return self._take(updates, self.batch_size, self._gather(updates * self.batch_size)) if updates else None

    def take_rest(self) -> Call | None:
        """Return a call of everything that waits, which is less than a full batch; None if nothing waits.

        It is a partial call, or a call without updates if none of the records trains.
        """
        if not self.records:
            return None
        assert self.waiting < self.batch_size, "full batches are taken first"
        samples = self.waiting
        parts = self._gather(samples)
        while self._blocks:
            self._consume(self._blocks[0], len(self._blocks[0].block), parts)
        return self._take(1 if samples else 0, samples or self.batch_size, parts)

    def take_exactly(self, updates: int, rows: int) -> Call | None:
        """Return a call of all waiting records, as `updates` batches of `rows`; None if they do not fit."""
        if self.waiting != updates * rows:
            return None
        parts = self._gather(self.waiting)
        while self._blocks:
            self._consume(self._blocks[0], len(self._blocks[0].block), parts)
        return self._take(updates, rows, parts)

    def _gather(self, samples: int) -> _Parts:
        """Consume the next `samples` samples that train, and all records up to the last of them."""
        parts = _Parts()
        while samples:
            pending = self._blocks[0]
            taken = min(samples, pending.waiting)
            samples -= taken
            last = pending.trained + taken - 1
            whole = taken == 0 or (samples > 0)
            self._consume(pending, len(pending.block) if whole else int(pending.train_records[last]) + 1, parts)
        return parts

    def _consume(self, pending: _Pending, until: int, parts: _Parts) -> None:
        """Move the remaining records of a block before index `until` into `parts`."""
        block, first = pending.block, pending.record
        if until > first:
            start = block.start if first == 0 else int(block.ends[first - 1])
            _extend(parts.spans, Span(block.partition, start, int(block.ends[until - 1])))
        if block.note is not None and not pending.note_taken:
            parts.notes.append(block.note)
            pending.note_taken = True
        self._consume_samples(pending, until, parts)
        self._consume_rejections(pending, until, parts)
        parts.new_classes += [name for record, name in block.new_classes if first <= record < until]
        if block.keyed is not None:
            parts.keyed.append(block.keyed.among(first, until))
        parts.records += until - first
        self.records -= until - first
        pending.record = until
        if until == len(block):
            self._blocks.popleft()

    def _consume_samples(self, pending: _Pending, until: int, parts: _Parts) -> None:
        block = pending.block
        rows_end = pending.row + int(np.count_nonzero(block.sampled[pending.record : until]))
        trained_end = int(np.searchsorted(pending.train_records, until))
        if pending.rows_of_train is None:
            rows: Any = slice(pending.row, rows_end)
        else:
            rows = pending.rows_of_train[pending.trained : trained_end]
            trains = np.zeros(rows_end - pending.row, np.bool_)
            trains[rows - pending.row] = True
            parts.held.append(block.samples[pending.row + np.flatnonzero(~trains)])
        parts.trained.append(block.samples[rows])
        if block.event_time_s is not None and trained_end > pending.trained:
            newest = float(block.event_time_s[rows].max())
            parts.event_time_s = newest if parts.event_time_s is None else max(newest, parts.event_time_s)
        if self._origins and trained_end > pending.trained:
            parts.origins.append(_origin(block, pending.train_records[pending.trained : trained_end]))
        self.waiting -= trained_end - pending.trained
        pending.row, pending.trained = rows_end, trained_end

    def _consume_rejections(self, pending: _Pending, until: int, parts: _Parts) -> None:
        rejections = pending.block.rejections
        if pending.rejection < len(rejections):
            end = int(pending.block.ends[until - 1]) if until else pending.block.start
            while pending.rejection < len(rejections) and rejections[pending.rejection].end <= end:
                parts.rejections.append(rejections[pending.rejection])
                pending.rejection += 1

    def _take(self, updates: int, rows: int, parts: _Parts) -> Call:
        return Call(
            spans=tuple(parts.spans),
            batches=Samples.joined(parts.trained or [self._none]).in_batches(updates, rows),
            held=Samples.joined(parts.held or [self._none]),
            partial=updates > 0 and rows != self.batch_size,
            records=parts.records,
            rejections=tuple(parts.rejections),
            event_time_s=parts.event_time_s,
            notes=tuple(parts.notes),
            origins=tuple(parts.origins) if self._origins else None,
            new_classes=tuple(parts.new_classes),
            keyed=tuple(parts.keyed),
        )


def _origin(block: Block, records: Int64) -> Origin:
    keys = None if block.keys is None else [block.keys[index] for index in records.tolist()]
    starts = np.where(records > 0, block.ends[records - 1], block.start)
    return Origin(block.partition, starts, block.ends[records], keys)


def updates_until(samples: int, batch_size: int, periods: Sequence[int]) -> int:
    """Return the number of full batches, after the stream's first `samples`, that reach the next end of a period."""
    missing = min((period - samples % period for period in periods), default=1 << 62)
    return -(-missing // batch_size)


def _extend(spans: list[Span], span: Span) -> None:
    """Append a span, or extend the last one if the span follows it directly."""
    if spans and spans[-1].partition == span.partition and spans[-1].end == span.start:
        span = Span(span.partition, spans.pop().start, span.end)
    spans.append(span)
