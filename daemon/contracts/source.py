"""Where records come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from learnd.daemon.values import (
    Note,
    Positions,
    RecordBatch,
)


class Source(Protocol):
    """An ordered, re-readable stream of records in partitions.

    A *note* is a fact about the outside that the source needs to find records again (the third file is
    `clicks-3.jsonl`, with this identity). It rides on the first batch that depends on it, is journaled
    with the call that consumes that batch, kept in every later checkpoint, and handed back to `open`, in order. What
    it holds is for the source alone, but for `skipped_records`: how many it leaves out on request; `current`: facts of
    which checkpoints keep the latest value of each key, for good; and `until`: the positions, per partition, from
    which on the rest of it is needed no more, so that checkpoints need not keep it.

    Must never: skip or reorder records within a partition; return a record that a note still unsent is needed
    to find again; hand out a record that it could not read again after a kill (a pipe is written to disk first);
    block longer than `timeout_s`; keep positions of its own.
    """

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Start reading at `positions`: the record at each offset comes first. Empty: where the settings say.

        Called again, before the first `read`, where calls of the journal are given up: what `read_range` read is
        forgotten.

        Raises SourceError where a position cannot be reached any more, naming what is gone.
        """

    def read(self, timeout_s: float) -> RecordBatch | None:
        """Return the next records; None where none arrived in time, or the stream has ended (`exhausted`).

        Raises SourceError when the source has vanished for good. What may come back is waited for.
        """

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        """Yield the records from position `start` up to `end`, whose record is not part of it: for a resume.

        None where none arrived in time. Afterwards `read` goes on behind the ranges read. Raises SourceError where
        they cannot be read, LostError where they are gone.
        """

    @property
    def live(self) -> bool:
        """Whether records arrive as time passes, so that samples may have to train before their batch is full.

        False for a recorded stream: how it is cut into batches must not depend on the speed of the machine.
        """

    @property
    def exhausted(self) -> bool:
        """Whether the stream has ended and each of its records was returned."""

    @property
    def connected(self) -> bool:
        """Whether what the records come from can be reached now. False does not end anything: it is waited for."""

    @property
    def lag_unit(self) -> Literal["records", "bytes"]:
        """What `lag` counts: bytes where that is all there is."""

    def lag(self) -> Mapping[str, int]:
        """Return how much is still unread, per partition."""

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Called after a checkpoint: it covers `saved`; nothing before `needed` will ever be read again.

        For monitors of lag and for clean-up only: never read back. Must never raise.
        """

    def close(self) -> None:
        """Release what is held; called once, whatever happened before."""
