"""The action `refit_standardization`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import Action, Cause, Hands


class RefitStandardization(Action):
    """Let the running mean and variance of the inputs adapt quickly to new samples. A rule does so only if a trial on
    the latest samples shows that the model predicts them better for it.
    """

    changes_model: ClassVar[bool] = True

    def do(self, hands: Hands, cause: Cause) -> str:
        return hands.refit_standardization(cause)


ACTION = RefitStandardization
