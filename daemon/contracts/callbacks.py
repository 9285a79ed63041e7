"""What a user has learnd call at the ends of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from learnd.daemon.contracts.learner import Stateful
from learnd.daemon.values import Call, Event, Report


class Callbacks(Stateful, Protocol):
    """Acts between two calls, on the model. What it knows is in its state, and what it changes in that of the model.

    A call ends with the first update that reaches a multiple of the samples of an epoch.
    """

    @property
    def made(self) -> str:
        """A digest of what they are, and of what they were made with. Others have another state."""

    @property
    def stop(self) -> bool:
        """Whether the last epoch was to be the last one of the run."""

    def begin(self) -> None:
        """Begin the first epoch, if that has not been done. Raises ModelError, as `finish` does."""

    def look(self, report: Report) -> None:
        """Take in updates of the epoch."""

    def finish(self, call: Call, scores: Sequence[Event]) -> list[Event]:
        """Take in the scores of a call, and act if an epoch ends with it. Return what there is to tell."""
