"""The action `learning_rate`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class ScaleLearningRate(Action):
    """Change the learning rate for a while."""

    changes_model: ClassVar[bool] = True

    times: Annotated[float, Field(gt=0, le=1000)]
    """Factor for the learning rate."""

    over: PositiveInt = 2_000
    """Samples over which the factor returns to 1, linearly."""

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        hands.learner.boost(self.times, self.over)
        return DONE


ACTION = ScaleLearningRate
