"""The end of a pause."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, NothingToDoError


class ResumeTraining(Action):
    """Train again after a pause."""

    of_rules: ClassVar[bool] = False  # nothing that a rule is on happens while nothing trains

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        if not hands.resume():
            raise NothingToDoError("training is not paused")
        return DONE


ACTION = ResumeTraining
