"""The next phase of the training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import NonNegativeInt

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, NothingToDoError


class BeginNextPhase(Action):
    """Begin the next phase of the training."""

    changes_model: ClassVar[bool] = True

    after: NonNegativeInt | None = None
    """Only if the training is in the phase of this number, from 0: a phase that has ended meanwhile does not take the
    next one with it. Any phase unless given."""

    def do(self, hands: Hands, cause: Cause) -> str:
        phase = hands.learner.phase
        if self.after is not None and self.after != phase:
            raise NothingToDoError(f"it was asked for after phase {self.after}, and the training is in phase {phase}")
        if not hands.begin_next_phase(cause.word):
            raise NothingToDoError(f"no phase follows phase {phase}, or it has just begun")
        return DONE


ACTION = BeginNextPhase
