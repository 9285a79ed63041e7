"""A copy of the model to return to. It is part of the checkpointed state."""

from __future__ import annotations

from collections.abc import Sequence

from learnd.daemon.contracts import Contested
from learnd.daemon.values import Event, Facts, State


class KeptCopy:
    """The state of the learner at some sample, with the progress at that time; none at first."""

    def __init__(self) -> None:
        self.progress: Facts | None = None
        self._learner = State()

    def keep(self, learner: State, progress: Facts | None) -> None:
        """Keep a state of the learner, and forget the one before."""
        self._learner, self.progress = learner, progress

    def bring_back(self, learner: Contested, samples: int) -> Sequence[Event]:
        """Restore it behind `samples` of the stream. Return what is told of a contest."""
        return learner.go_back(self._learner, samples)

    def forget_after(self, samples: int) -> None:
        """Drop what was kept behind `samples` of the stream."""
        if self.progress is not None and self.progress["samples"] > samples:
            self.keep(State(), None)

    def state(self) -> State:
        return State.joined({"learner": self._learner.clone()}, {"progress": self.progress})

    def restore(self, state: State) -> None:
        self.keep(state.part("learner"), state.facts["progress"])
