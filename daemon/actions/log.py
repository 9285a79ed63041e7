"""The action `log`."""

from __future__ import annotations

import structlog

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands

log = structlog.get_logger()


class Log(Action):
    """Write a line to the log. The history holds every reaction in any case."""

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        data = {key: value for key, value in cause.data.items() if key != "level"}  # the log has a level of its own
        log.warning("reaction", on=cause.word, at_samples=cause.samples, **data)
        return DONE


ACTION = Log
