"""The action `next_phase`."""

from __future__ import annotations

from pydantic import NonNegativeInt

from learnd.daemon.actions.contract import DONE, Cause, Hands, ModelAction, NothingToDoError
from learnd.daemon.contracts import Adaptable
from learnd.daemon.values import PhaseBegun


class BeginNextPhase(ModelAction):
    """Begin the next training phase."""

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

    def change(self, learner: Adaptable, cause: Cause) -> PhaseBegun | None:
        return learner.next_phase(cause.word, cause.samples)


ACTION = BeginNextPhase
