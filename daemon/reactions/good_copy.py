"""The last good copy of the model, to roll back to.

A checkpoint cannot serve for this: checkpoints are also made by the clock, so which one is the last depends on the
machine. This copy is made at fixed sample counts and is part of the checkpointed state, so it is a function of the
stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Self

from learnd.daemon.actions.contract import NothingToDoError
from learnd.daemon.actions.roll_back import RollBack
from learnd.daemon.contracts import Contested, Learner
from learnd.daemon.errors import DataError
from learnd.daemon.reactions.kept_copy import KeptCopy
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.values import Event, Facts, State, finite

_LOOKS = 8  # earlier looks whose errors a new error is compared with


class GoodCopy(KeptCopy):
    """A copy of the learner, and the recent errors that tell whether a model is good."""

    def __init__(self, action: RollBack) -> None:
        super().__init__()
        self.action = action
        self.rollbacks = 0
        self._since_copy = 0  # rollbacks since the copy was made
        self._errors: list[float] = []

    @classmethod
    def wanted_by(cls, rules: Iterable[Reaction]) -> Self | None:
        """Return one if any of the rules may return to it."""
        actions = (choice.action for rule in rules for choice in rule.do)
        return next((cls(action) for action in actions if isinstance(action, RollBack)), None)

    @property
    def exhausted(self) -> bool:
        """Whether the model was rolled back as often as it may be."""
        return self.rollbacks >= self.action.most

    def check_asked(self, progress: Facts) -> None:
        """Raise NothingToDoError if an operator should not have asked for a rollback to `progress`."""
        if not progress["samples"]:
            raise NothingToDoError(
                f"there is no good copy yet but the model from before the first sample; the first is made at "
                f"{self.action.every:,} samples"
            )
        if self.exhausted:
            raise NothingToDoError(
                f"the model was rolled back {self.rollbacks} times, as often as roll_back.most allows"
            )

    def look(self, learner: Learner, error: float | None, progress: Facts) -> bool:
        """Return whether the model is good, given the mean error since the last look. Copy it if it is."""
        now = learner.state()
        good = finite(now.arrays) and self.is_usual(error)
        if good:
            self.take(now, progress)
        if error is not None:
            self._errors = [*self._errors, error][-_LOOKS:]
        return good

    def take(self, learner: State, progress: Facts) -> None:
        """Keep a state of the learner, which no rollback has slowed down since."""
        self.keep(learner, progress)
        self._since_copy = 0

    def roll_back(self, learner: Contested, samples: int) -> Sequence[Event]:
        """Restore the good copy behind `samples` of the stream, with a lower learning rate. Each rollback to the same
        copy lowers it further. Return what is told of a contest.
        """
        self.rollbacks += 1
        self._since_copy += 1
        told = self.bring_back(learner, samples)
        learner.slow_down(self.action.times**self._since_copy)
        return told

    def is_usual(self, error: float | None) -> bool:
        """Whether an error is in the range of the earlier ones. During a burst of wrong labels it is not."""
        if error is None:
            return not self._errors
        usual = median(self._errors) if self._errors else error
        return error <= max(2 * usual, usual + 0.02)

    def state(self) -> State:
        kept = super().state()
        facts = {"errors": list(self._errors), "rollbacks": self.rollbacks, "since_copy": self._since_copy}
        return State(kept.arrays, {**kept.facts, **facts})

    def restore(self, state: State) -> None:
        super().restore(state)
        facts = state.facts
        self._errors = list(facts["errors"])
        self.rollbacks, self._since_copy = facts["rollbacks"], facts["since_copy"]


def gone_back_too_often(cause: str, rollbacks: int) -> DataError:
    """Return the error for a model that would have to go back once more."""
    return DataError(
        f"{cause}: the model was rolled back {rollbacks} times, as often as roll_back.most allows, and the "
        "stream still harms it. What was trained is kept in a checkpoint. The dead letters say what was set aside. "
        "Fix the producer or the settings, and start again."
    )
