"""The action `checkpoint`."""

from __future__ import annotations

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class SaveCheckpoint(Action):
    """Save a checkpoint and pin it, so that it is never removed."""

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        hands.save()
        return DONE


ACTION = SaveCheckpoint
