"""Back to the last good copy of the model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from learnd.daemon.actions.contract import Action, Cause, Hands


class RollBack(Action):
    """Back to the last good copy of the model; what was trained since then is set aside."""

    between_calls: ClassVar[bool] = True

    every: PositiveInt = 10_000
    """Samples between two looks at the model. One that is good, with finite weights and a score that passes, is
    copied; and it is at these counts that the model goes back."""

    times: Annotated[float, Field(gt=0, le=1)] = 0.5
    """By what to multiply the learning rate from there on."""

    most: Annotated[int, Field(ge=0)] = 3
    """How many times. Where it would be once more, learnd stops with exit code 65."""

    def do(self, hands: Hands, cause: Cause) -> str:
        return hands.roll_back(cause)


ACTION = RollBack
