"""The action `pause`."""

from __future__ import annotations

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class PauseTraining(Action):
    """Save a checkpoint and pause training, until somebody resumes it with `learnd ctl DIR resume`."""

    def do(self, hands: Hands, cause: Cause) -> str:
        hands.pause(str(cause))
        return DONE


ACTION = PauseTraining
