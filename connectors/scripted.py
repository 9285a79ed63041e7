"""A source that plays a script, for tests of what reads from one: no files, no clock, nothing left to chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Literal, TypeAlias

import numpy as np

from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch


class Moment(Enum):
    """What can happen between batches."""

    PAUSE = "nothing arrives in time"


Step: TypeAlias = RecordBatch | Moment | Exception


class ScriptedSource:
    """A `contracts.Source` whose `read` plays one step a call: returns the batch, returns None, or raises the error.

    The stream ends after the last step, unless it is `endless`: then nothing arrives any more. An error is raised
    once; the next read plays the next step. `closed` and `commits` say what was asked of the source.
    """

    connected = True
    repeats = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(self, steps: Sequence[Step], *, live: bool = False, endless: bool = False) -> None:
        self.live = live
        self.closed = False
        self.commits: list[tuple[Positions, Positions]] = []
        self._steps = steps
        self._endless = endless
        self._begin({}, [])

    def _begin(self, positions: Positions, notes: Sequence[Note]) -> None:
        self._next = 0
        self._positions = dict(positions)
        self._known = list(notes)

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.closed = False
        self._begin(positions, notes)

    def read(self, timeout_s: float) -> RecordBatch | None:  # noqa: ARG002 (a script never waits)
        while self._next < len(self._steps):
            step = self._steps[self._next]
            self._next += 1
            if isinstance(step, Exception):
                raise step
            if step is Moment.PAUSE:
                return None
            if isinstance(step, RecordBatch) and (rest := self._unread(step)) is not None:
                return self._taken(rest)
        return None

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        for batch in self._batches(partition):
            piece = between(batch, start, end)
            if piece is not None and piece.start == start:
                start = int(piece.ends[-1])
                yield self._taken(piece)
        if start != end:
            raise SourceError(f"{partition}: the script has no records from {start} to {end}")

    @property
    def exhausted(self) -> bool:
        return not self._endless and self._next == len(self._steps)

    def lag(self) -> Mapping[str, int]:
        lag: dict[str, int] = {}
        for step in self._steps[self._next :]:
            if isinstance(step, RecordBatch) and (rest := self._unread(step)) is not None:
                lag[step.partition] = lag.get(step.partition, 0) + len(rest)
        return lag

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:
        self.commits.append((saved, needed))

    def close(self) -> None:
        self.closed = True

    def _batches(self, partition: str) -> Iterator[RecordBatch]:
        return (step for step in self._steps if isinstance(step, RecordBatch) and step.partition == partition)

    def _unread(self, batch: RecordBatch) -> RecordBatch | None:
        position = self._positions.get(batch.partition, batch.start)
        return between(batch, max(position, batch.start), int(batch.ends[-1]))

    def _taken(self, batch: RecordBatch) -> RecordBatch:
        self._positions[batch.partition] = int(batch.ends[-1])
        if batch.note is None or batch.note in self._known:
            return replace(batch, note=None)
        self._known.append(batch.note)
        return batch


def between(batch: RecordBatch, start: int, end: int) -> RecordBatch | None:
    """Return the records of a batch between positions `start` and `end`; None if there are none."""
    starts = np.concatenate(([batch.start], batch.ends[:-1]))
    first = int(np.searchsorted(starts, start))
    last = int(np.searchsorted(batch.ends, end, side="right"))
    if first >= last:
        return None
    rows = slice(first, last)
    return replace(
        batch,
        start=int(starts[first]),
        ends=batch.ends[rows],
        values=batch.values[rows],
        keys=batch.keys and batch.keys[rows],
        headers=batch.headers and batch.headers[rows],
        timestamps_s=None if batch.timestamps_s is None else batch.timestamps_s[rows],
        lines=batch.lines and batch.lines[rows],
        defects={i - first: defect for i, defect in (batch.defects or {}).items() if first <= i < last} or None,
    )
