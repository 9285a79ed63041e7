"""The action `pause`."""

from __future__ import annotations

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands
from learnd.daemon.values import Facts


class PauseTraining(Action):
    """Save a checkpoint after the call in hand and pause training, until somebody resumes it with `learnd ctl DIR
    resume`.
    """

    def do(self, hands: Hands, cause: Cause) -> str:
        hands.pause(f"{cause}{_asked(cause.data)}")
        return DONE


def _asked(data: Facts) -> str:
    """Return who asked for it and why, if somebody did."""
    by = f" by {data['by']}" if data.get("by") else ""
    return f"{by}: {data['why']}" if data.get("why") else by


ACTION = PauseTraining
