"""The action `log_level`."""

from __future__ import annotations

import logging
from typing import ClassVar, Literal

import structlog

from learnd.daemon.actions.contract import DONE, Action, Cause, Hands


class SetLogLevel(Action):
    """Write the log from this level on, until the process ends, or reads its settings again."""

    of_rules: ClassVar[bool] = False  # it is for somebody who looks

    level: Literal["debug", "info", "warning", "error"]
    """The lowest level that is written."""

    def do(self, hands: Hands, cause: Cause) -> str:  # noqa: ARG002
        if not hands.live:  # that process has ended
            return DONE
        level = getattr(logging, self.level.upper())
        logging.getLogger().setLevel(level)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
        return DONE


ACTION = SetLogLevel
