"""The action `roll_back`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from learnd.daemon.actions.contract import Action, Cause, Hands


class RollBack(Action):
    """Roll back to the last good copy of the model, at most `most` times. What was trained since then becomes dead
    letters, and from then on the learning rate is multiplied by `times`, for good.
    """

    between_calls: ClassVar[bool] = True

    every: PositiveInt = 10_000
    """Samples between two looks at the model. It is copied if it is good: finite weights, and an error in the usual
    range. Rollbacks, too, happen only at these sample counts."""

    times: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor for the learning rate from then on."""

    most: Annotated[int, Field(ge=0)] = 3
    """The most rollbacks. If one more is needed, learnd stops with exit code 65."""

    def do(self, hands: Hands, cause: Cause) -> str:
        return hands.roll_back(cause)


ACTION = RollBack
