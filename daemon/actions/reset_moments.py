"""The action `reset_moments`."""

from __future__ import annotations

from learnd.daemon.actions.contract import DONE, Cause, Hands, ModelAction
from learnd.daemon.contracts import Adaptable


class ResetMoments(ModelAction):
    """Reset the optimizer's moments."""

    def do(self, hands: Hands, cause: Cause) -> str:
        self.change(hands.learner, cause)
        return DONE

    def change(self, learner: Adaptable, cause: Cause) -> None:  # noqa: ARG002
        learner.reset_moments()


ACTION = ResetMoments
