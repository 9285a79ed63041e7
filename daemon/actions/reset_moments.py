"""The action `reset_moments`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class ResetMoments(Action):
    """Reset the optimizer's moments."""

    changes_model: ClassVar[bool] = True

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        hands.learner.reset_moments()
        return DONE


ACTION = ResetMoments
