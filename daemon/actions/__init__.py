"""Actions by name, one module each, for rules and for operators."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from learnd.daemon.actions.contract import Action

_MODULES = (
    "log",
    "checkpoint",
    "learning_rate",
    "reset_moments",
    "next_phase",
    "refit_standardization",
    "trial",
    "log_level",
    "reload",
    "roll_back",
    "stop",
    "pause",
    "resume",
)

ACTIONS: Mapping[str, type[Action]] = {name: import_module(f"{__package__}.{name}").ACTION for name in _MODULES}
COMMANDS = [name for name, action in ACTIONS.items() if action.of_operators]
