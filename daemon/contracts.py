"""What the parts expect of each other. A contract says what it must never do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from daemon.values import Arrays, Block, Facts, Note, Positions, RecordBatch, Rejection


class Source(Protocol):
    """An ordered, re-readable stream of records in partitions.

    A *note* is a fact about the outside that the source needs to find records again (the third file is
    `clicks-3.jsonl`, with this identity). It rides on the first batch that depends on it, is journaled
    with the call that consumes that batch, kept in every later checkpoint, and handed back to `open`, in order.

    Must never: skip or reorder records within a partition; return a record that a note still unsent is needed
    to find again; hand out a record that it could not read again after a kill (a pipe is written to disk first);
    block longer than `timeout_s`; keep positions of its own.
    """

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Start reading at `positions`: the record at each offset comes first. Empty: where the settings say.

        Raises SourceError where a position cannot be reached any more, naming what is gone.
        """

    def read(self, timeout_s: float) -> RecordBatch | None:
        """Return the next records; None where none arrived in time, or the stream has ended (`exhausted`).

        Raises SourceError when the source has vanished for good. What may come back is waited for.
        """

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        """Yield the records from position `start` up to `end`, whose record is not part of it: for a resume.

        Afterwards `read` goes on behind the ranges read. Raises SourceError where they are gone.
        """

    @property
    def exhausted(self) -> bool:
        """Whether the stream has ended and each of its records was returned."""

    def lag(self) -> Mapping[str, int]:
        """Return how much is still unread, per partition: in records, or in bytes where that is all there is."""

    def commit(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Called after the oldest checkpoint that is still kept covers `positions`; for monitors and clean-up only."""

    def close(self) -> None:
        """Release what is held; called once, whatever happened before."""


class Decoder(Protocol):
    """Turns records into samples. Must never raise on a record, nor let a non-finite value through."""

    def decode(self, batch: RecordBatch) -> Block: ...


class DeadLetters(Protocol):
    """Where rejected records go. Must never lose one that a checkpoint covers, nor hold one twice after a resume."""

    def open(self, mark: int) -> None:
        """Go on at `mark`, which `flush` returned before a checkpoint; whatever was written after it is dropped."""

    def write(self, rejections: Iterable[Rejection]) -> None: ...

    def flush(self) -> int:
        """Make all that was written durable, and return the mark to resume at. Raises StoreError."""

    def close(self) -> None: ...


class Stateful(Protocol):
    """A part whose state is in the checkpoint. The state is a function of the stream, however it was cut into calls."""

    def state(self) -> tuple[Arrays, Facts]:
        """Return copies: the loop goes on while they are written."""

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take over a state. Raises StateMismatchError where it is not one of this part's."""
