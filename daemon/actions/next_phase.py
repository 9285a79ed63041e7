"""The action `next_phase`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import NonNegativeInt

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, NothingToDoError


class BeginNextPhase(Action):
    """Begin the next training phase."""

    changes_model: ClassVar[bool] = True

    after: NonNegativeInt | None = None
    """Act only if training is in the phase with this number, counted from 0: if that phase has ended meanwhile, the
    next one is not ended too. Default: any phase."""

    def do(self, hands: Hands, cause: Cause) -> str:
        phase = hands.learner.phase
        if self.after is not None and self.after != phase:
            raise NothingToDoError(f"it was asked for after phase {self.after}, but training is in phase {phase}")
        if not hands.begin_next_phase(cause.word):
            raise NothingToDoError(f"no phase follows phase {phase}, or it has just begun")
        return DONE


ACTION = BeginNextPhase
