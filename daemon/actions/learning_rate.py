"""The action `learning_rate`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from learnd.daemon.actions.contract import DONE, Cause, Hands, ModelAction
from learnd.daemon.contracts import Adaptable


class ScaleLearningRate(ModelAction):
    """Change the learning rate for a while, or for good."""

    times: Annotated[float, Field(gt=0, le=1000)]
    """Factor for the learning rate."""

    over: PositiveInt | None = 2_000
    """Samples over which the factor returns to 1, linearly. `null`: it stays."""

    def do(self, hands: Hands, cause: Cause) -> str:
        self.change(hands.learner, cause)
        return DONE

    def change(self, learner: Adaptable, cause: Cause) -> None:  # noqa: ARG002
        if self.over is None:
            learner.slow_down(self.times)
        else:
            learner.boost(self.times, self.over)


ACTION = ScaleLearningRate
