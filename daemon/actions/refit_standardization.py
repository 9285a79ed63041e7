"""The action `refit_standardization`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class RefitStandardization(Action):
    """Let the running mean and variance of the inputs adapt quickly to new samples."""

    changes_model: ClassVar[bool] = True

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        hands.learner.refit_standardization()
        return DONE


ACTION = RefitStandardization
