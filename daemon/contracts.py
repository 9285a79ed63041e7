"""What the parts expect of each other. A contract says what it must never do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from learnd.daemon.values import (
    Arrays,
    Block,
    Call,
    Event,
    Facts,
    Float32,
    Note,
    Positions,
    RecordBatch,
    Rejection,
    Report,
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


class Decoder(Protocol):
    """Turns records into samples. Must never raise on a record, nor let a non-finite value through."""

    def decode(self, batch: RecordBatch) -> Block: ...

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        """Return why no record under these columns can be a sample: a problem of the settings for each that lacks."""

    def missing_fields(self, record: bytes) -> list[str]:
        """Return the same for a rejected record; nothing where it does not tell."""


class Output(Protocol):
    """An append-only output that a checkpoint covers: dead letters, the history.

    Must never lose what was written before a mark that `sync` made durable. After a resume it must not hold anything
    twice where its place can be cut back; in a topic, what came after the last checkpoint comes once more.
    """

    def open(self, mark: int | None) -> None:
        """Go on at `mark`, which the checkpoint holds, and drop what was written after it.

        Without a mark no checkpoint covers this output yet: go on behind what there is, and drop nothing.
        """

    @property
    def place(self) -> str:
        """Where the output goes. A mark is of one place: elsewhere it means nothing."""

    def mark(self) -> int:
        """Hand everything written so far to the system, quickly, and return where the output ends."""

    def sync(self) -> None:
        """Make everything up to the last mark durable. Called from another thread. Raises StoreError."""

    def close(self) -> None: ...


class DeadLetters(Output, Protocol):
    """Where rejected records go."""

    def write(self, rejections: Iterable[Rejection]) -> None: ...


class Predictions(Output, Protocol):
    """Where predictions go: those that were made before the update on their sample."""

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Write those of a call, which has its `origins`, on a model that has had so many updates before it."""


class Stateful(Protocol):
    """A part whose state is in the checkpoint. The state is a function of the stream, however it was cut into calls."""

    def state(self) -> tuple[Arrays, Facts]:
        """Return copies: the loop goes on while they are written."""

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take over a state. Raises StateMismatchError where it is not one of this part's."""


class Learner(Protocol):
    """A model that is updated call by call. Must never keep anything that influences an update out of its state."""

    @property
    def trainable_parameters(self) -> int: ...

    @property
    def info(self) -> Mapping[str, str]:
        """Return what the model is, in words."""

    def metric_results(self) -> dict[str, float]:
        """Return what scores the learner keeps itself, over every prediction so far."""

    def compile(self) -> None:
        """Do now what the next update would otherwise wait for. Raises ModelError, StateMismatchError."""

    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any, each after the prediction of its samples."""

    def predict(self, x: NDArray[Any]) -> Float32:
        """Return outputs (m, C) of the current weights for features (m, ...), in inference mode."""

    def state(self) -> tuple[Arrays, Facts]: ...

    def restore(self, arrays: Arrays, facts: Facts) -> None: ...


class Adaptable(Learner, Protocol):
    """A learner that reactions can change, between two updates. What they change is part of its state."""

    def undo(self) -> None:
        """Take the last `update` back, once: be as before it."""

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which falls back to 1 linearly over so many samples."""

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` for good."""

    def reset_moments(self) -> None:
        """Forget what the optimizer has gathered of earlier gradients."""

    @property
    def phase(self) -> int:
        """The number of the phase of the training, from 0."""

    def next_phase(self, cause: str) -> bool:
        """Begin the next phase of the training; False, and nothing changes, where there is none."""

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples`, which the learner counts itself, `plateau`, `drift` or `command`."""

    def take_events(self) -> list[Event]:
        """Return the phases that began since this was last asked, by the samples that it has counted itself."""

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs learn anew, quickly."""


class Monitor(Protocol):
    """Who watches the loop: metrics, health, a progress display. Must never raise, nor change what is trained."""

    def state(self, word: str) -> None:
        """The daemon is now `starting`, `restoring`, `consuming`, `paused`, `finishing`, `stopped` or `failed`."""

    def alive(self) -> None:
        """The loop went round, with or without a call."""

    def call_done(self, call: Call, report: Report, seconds: float) -> None:
        """A call has run, in `seconds`."""

    def resumed(self, manifest: Facts, samples: int, rejected: int) -> None:
        """A checkpoint was taken up, with so many samples through updates and so many rejected records before it."""

    def happened(self, events: Sequence[Event]) -> None:
        """Scores were published, drifts found, reactions made."""

    def checkpoint_begun(self, stall_seconds: float) -> None:
        """The loop stood still that long for the copy of the state."""

    def checkpoint_done(self, manifest: Facts, seconds: float, size: int, error: Exception | None) -> None:
        """A checkpoint of `size` bytes is on disk; or, with an error, is not."""
