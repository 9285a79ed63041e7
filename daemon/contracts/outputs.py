"""Where the results that a checkpoint covers are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from learnd.daemon.values import Call, Event, Rejection, Report


class Output(Protocol):
    """An append-only output that a checkpoint covers: dead letters, the history, predictions.

    A *mark* is where the output ends: everything written before the mark is covered, and the next write comes at it.
    It must never lose what was written before a mark that `sync` made durable. After a resume it must not hold
    anything twice, if it can be cut back. A topic cannot: there, what came after the last checkpoint comes once more.
    """

    def open(self, mark: int | None) -> None:
        """Continue at the checkpoint's `mark`, and drop what was written after it.

        Without a mark no checkpoint covers this output yet: go on after what there is, and drop nothing. An output
        that is opened again forgets what it knew. Raises StoreError.
        """

    @property
    def place(self) -> str:
        """Where the output goes. A mark means nothing for another place."""

    def mark(self) -> int:
        """Hand everything written so far to the system, quickly, and return where the output ends."""

    def sync(self) -> None:
        """Make everything up to the last mark durable. Called from another thread. Raises StoreError."""

    def close(self) -> None:
        """Release what is held. May be called more than once."""


class DeadLetters(Output, Protocol):
    """Where rejected records go."""

    def write(self, rejections: Iterable[Rejection]) -> None: ...


class Events(Output, Protocol):
    """Where the history goes."""

    def write(self, events: Iterable[Event], time_s: float) -> None:
        """Write what happened. `time_s` is Unix time."""


class Predictions(Output, Protocol):
    """Where predictions go. Each was made before the update on its sample."""

    def write(self, call: Call, report: Report, updates: int) -> None:
        """Write the predictions of a call, which has its `origins`. The model has had `updates` updates before it."""
