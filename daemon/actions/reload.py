"""The action `reload`."""

from __future__ import annotations

from typing import ClassVar

from learnd.daemon.actions.contract import Action, Cause, Hands, NothingToDoError

RELOAD = "reload"


class ReloadSettings(Action):
    """Read the settings file again, with the options and the environment of the start. If all that has changed can
    change in a running daemon, it does. Otherwise nothing does, and the outcome names the keys that take a restart.
    """

    of_rules: ClassVar[bool] = False  # it is for somebody who has changed the file

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        # Where it is possible, it was done ahead of the journal, and the command has its outcome.
        raise NothingToDoError("this run reads its settings once, at its start. Nothing was changed.")


ACTION = ReloadSettings
