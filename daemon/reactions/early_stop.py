"""Early stopping: the model that scored best, and whether a rule has ended the run."""

from __future__ import annotations

from collections.abc import Sequence

from learnd.daemon.actions.stop import StopTraining
from learnd.daemon.contracts import Learner
from learnd.daemon.reactions.kept_copy import KeptCopy
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.values import Event, Facts, State


class EarlyStop:
    """Keeps a copy of the model whenever it scores best, if a rule is to return to it."""

    def __init__(self, rules: Sequence[Reaction]) -> None:
        self._rule = next((index for index, rule in enumerate(rules) if _returns(rule)), None)
        self.best = KeptCopy()
        self.reason: str | None = None  # why the run has ended

    def look(self, event: Event, learner: Learner, progress: Facts) -> None:
        """Take in what was found in a score that the learner has just got."""
        if event.kind == "score.best" and event.data["rule"] == self._rule:
            self.best.keep(learner.state(), progress)

    def go_on(self) -> bool:
        """Go on if the run has ended. Return False if it has not."""
        ended, self.reason = self.reason is not None, None
        return ended

    def state(self) -> State:
        return State.joined({"best": self.best.state()}, {"reason": self.reason})

    def restore(self, state: State) -> None:
        self.best.restore(state.part("best"))
        self.reason = state.facts["reason"]


def _returns(rule: Reaction) -> bool:
    """Whether a rule returns to the model that scored best."""
    return any(isinstance(choice.action, StopTraining) and choice.action.restore_best for choice in rule.do)
