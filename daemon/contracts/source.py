"""Where records come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

from learnd.daemon.values import Note, Positions, RecordBatch


class Source(Protocol):
    """A stream of records in partitions, each in order, which can be read again from any position.

    A *position* is the offset of the next record: one more than that of the last record, or the end of its bytes. All
    positions are kept in checkpoints; `open` gets them back. If `open` gets the offset of the last trained record
    instead, that record trains twice.

    A *note* is a fact about the outside world that the source needs to find records again ("the third file is
    clicks-3.jsonl, with this identity"). It comes with the first batch that depends on it, is written to the journal
    with the call that consumes that batch, and is handed back to `open`, in order, with all others. Only the source
    reads what is in it, except for these keys: `skipped_records` counts records that were left out on request;
    `partition` and `path` tell people which file a partition is; `current` holds facts of which checkpoints keep only
    the latest of each key, for good; `until` holds positions, by partition, from which on the rest of the note is not
    needed, so that checkpoints can drop it.

    A source must never

    - skip, repeat or reorder records within a partition;
    - return a batch that can only be found again with a note that was not sent with it or before;
    - return a record that it could not read again after a kill: what comes from a pipe is written to disk first;
    - cut the same bytes into other records when they are read again;
    - keep positions of its own;
    - block for much longer than `timeout_s`;
    - do work or start a thread before `open`.

    `open` and `read_range` are called before the first `read`, which another thread calls; `commit` and the properties
    may be used from any thread at the same time.
    """

    # Reading

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Begin at `positions`: the next record of each partition is the one at that offset.

        Partitions without a position begin where a note or else the settings say. Opening a source again must forget
        everything it knew, as if it were a new one: what was read, by `read` or `read_range`, does not count any more.

        Raises SourceError if a position cannot be reached any more, with the name of what is gone.
        """

    def read(self, timeout_s: float) -> RecordBatch | None:
        """Return the next records; None if none arrived in time, or if the stream has ended (`exhausted`).

        Raises SourceError if the source is gone for good. It waits for what may come back.
        """

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        """Yield the records from position `start` up to `end`, without the one at `end`; None when none arrive in time.

        A resume reads the records of journaled calls with it, before the first `read`. Then `read` goes on after the
        ranges. Raises SourceError if they cannot be read, LostError if they are gone.
        """

    def close(self) -> None:
        """Release what is held. May be called at any time, more than once, and before `open`. Must never raise."""

    # After a checkpoint

    def commit(self, saved: Positions, needed: Positions) -> None:
        """A checkpoint covers everything before `saved`; nothing before `needed` will ever be read again.

        This is for monitors of lag and for cleaning up, and is never read back. Must never raise.
        """

    # What it is like

    @property
    def live(self) -> bool:
        """Whether records arrive as time passes, so that samples may have to train before their batch is full.

        False for a recorded stream: how it is cut into batches must not depend on the speed of the machine.
        """

    @property
    def repeats(self) -> bool:
        """Whether it gives its records several times over. Its one partition is `values.EPOCHS` then, its notes have
        that key, and no other source gets these.
        """

    @property
    def exhausted(self) -> bool:
        """Whether the stream has ended and each of its records was returned."""

    @property
    def connected(self) -> bool:
        """Whether what the records come from can be reached now. If not, the daemon waits."""

    @property
    def lag_unit(self) -> Literal["records", "bytes"]:
        """What `lag` counts: bytes if the number of records is not known."""

    def lag(self) -> Mapping[str, int]:
        """Return how much is still unread, by partition. While the source is away: of what it last held."""

    def held(self) -> Mapping[str, tuple[int, int]]:
        """Return the earliest position that the source still has, and its end, by partition, as they were last known.

        Empty for a source that deletes nothing by itself.
        """
