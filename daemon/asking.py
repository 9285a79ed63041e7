"""Asking a daemon for something: a command is checked as the settings file would be, and left in its inbox.

For `learnd ctl` and for HTTP alike. Needs no TensorFlow, and no daemon that runs.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from learnd.daemon.actions import ACTIONS, COMMANDS
from learnd.daemon.config.document import Document
from learnd.daemon.config.problems import Outline, describe
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.state.directory import newest_sound_manifest
from learnd.daemon.state.history import HISTORY_FILE, newest_first
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.values import Command, Facts

NOTHING = "Nothing was asked for."


def checked(action: str, given: Facts) -> Facts:
    """Return the arguments of an action as a command has them. Raises SettingsError if it does not take them."""
    if action not in ACTIONS:
        raise SettingsError([f"unknown action {action!r}{meant_or_known(action, COMMANDS)}. {NOTHING}"])
    model = ACTIONS[action]
    if not model.of_operators:
        raise SettingsError([f"{action}: rules alone may do it; there are {', '.join(COMMANDS)}. {NOTHING}"])
    if given and model.between_calls:
        raise SettingsError([f"{action}: it acts as its rule in the settings says; give no arguments. {NOTHING}"])
    if given and not model.model_fields:
        raise SettingsError([f"{action}: it takes no arguments, and {', '.join(given)} was given. {NOTHING}"])
    try:
        return model.model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        problems = describe(error, Document(action, {}, given), Outline(model))
        raise SettingsError([*problems, NOTHING]) from error


def leave(root: Path, command: Command) -> tuple[Command, Path]:
    """Leave a command, whose arguments are checked, in the state directory `root`. Return it as it was left, and its
    file.

    It gets an id if it has none, and the time. Raises SettingsError if no phase comes next, StoreError if it cannot be
    written.
    """
    arguments = command.arguments
    if command.action == "next_phase":
        arguments = {"after": _phase_to_end(root), **arguments}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    command = replace(command, id=command.id or secrets.token_hex(8), arguments=arguments, at=at)
    return command, Inbox(root).put(command)


def _phase_to_end(root: Path) -> int:
    """Return the phase that the training is in. Raises SettingsError if it is known that none comes next."""
    record = read_settings_record(root)
    if record is None:
        return 0  # the daemon is starting for the first time, and will see
    phases = len(record["given"].get("phases", ()))
    phase = _phase(root) if phases else 0
    if phase + 1 >= phases:
        where = f"the model is in phase {phase}, the last one" if phases else "the settings have no phases"
        raise SettingsError([f"{root}: {where}: nothing comes next. {NOTHING}"])
    return phase


def _phase(root: Path) -> int:
    """Return the phase that the daemon is in, or was: the history has each beginning at once."""
    begun = next(newest_first(root / HISTORY_FILE, "phase"), None)
    if begun is not None:
        return int(begun["number"])
    manifest = newest_sound_manifest(root)
    return 0 if manifest is None else int(manifest.get("phase", 0))
