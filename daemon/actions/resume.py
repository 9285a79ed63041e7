"""The action `resume`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, NothingToDoError


class ResumeTraining(Action):
    """Resume training after a pause, or after a rule ended it."""

    of_rules: ClassVar[bool] = False  # no event calls a rule while training is paused

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        if not hands.resume():
            raise NothingToDoError("training is not paused")
        return DONE


ACTION = ResumeTraining
