"""The action `refit_standardization`."""

from __future__ import annotations

from learnd.daemon.actions.contract import Cause, Hands, ModelAction
from learnd.daemon.contracts import Adaptable


class RefitStandardization(ModelAction):
    """Let the running mean and variance of the inputs adapt quickly to new samples. A rule does so only if a trial on
    the latest samples shows that the model predicts them better for it.
    """

    def do(self, hands: Hands, cause: Cause) -> str:
        return hands.refit_standardization(cause)

    def change(self, learner: Adaptable, cause: Cause) -> None:  # noqa: ARG002
        learner.refit_standardization()


ACTION = RefitStandardization
