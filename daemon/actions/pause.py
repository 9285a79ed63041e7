"""A pause of the training, and its end."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands, NothingToDoError


class PauseTraining(Action):
    """Save a checkpoint, and train nothing more until somebody resumes it: `learnd ctl DIR resume`."""

    def do(self, hands: Hands, cause: Cause) -> str:
        hands.pause(str(cause))
        return DONE


class ResumeTraining(Action):
    """End a pause."""

    of_rules: ClassVar[bool] = False  # nothing that a rule is on happens while nothing trains

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        if not hands.resume():
            raise NothingToDoError("training is not paused")
        return DONE
