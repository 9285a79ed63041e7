"""The action `trial`."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, cast

from pydantic import PositiveInt

from learnd.daemon.actions.choice import ActionChoice
from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, ModelAction
from learnd.daemon.actions.learning_rate import ScaleLearningRate
from learnd.daemon.actions.next_phase import BeginNextPhase
from learnd.daemon.actions.refit_standardization import RefitStandardization
from learnd.daemon.actions.reset_moments import ResetMoments


class Tried(ActionChoice):
    """What is tried: the name of an action, or `{name: {argument: value}}`."""

    learning_rate: ScaleLearningRate | None = None
    """Change the learning rate for a while."""

    reset_moments: ResetMoments | None = None
    """Reset the optimizer's moments."""

    refit_standardization: RefitStandardization | None = None
    """Let the statistics of the inputs adapt quickly."""

    next_phase: BeginNextPhase | None = None
    """Begin the next training phase."""


class Trial(Action):
    """Try an action on a copy of the model. Both train on the same samples from then on. The copy takes the model's
    place when a paired test says that it predicts better, and is dropped when it says that it predicts worse.
    """

    of: Tried
    """The action."""

    samples: PositiveInt = 10_000
    """How long the copy has to prove itself. Then it is dropped."""

    changes_model: ClassVar[bool] = True

    @property
    def tries(self) -> str:
        return self.of.name

    def do(self, hands: Hands, cause: Cause) -> str:
        change = partial(cast("ModelAction", self.of.action).change, cause=cause)
        hands.try_out(self.of.name, change, self.samples)
        return DONE


ACTION = Trial
