"""`learnd ctl`: leaves a command for the daemon of a state directory. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from learnd.daemon.actions import ACTIONS
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.foundation.section import did_you_mean
from learnd.daemon.state.history import HISTORY_FILE
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.values import Command, Facts
from learnd.daemon.verbs.checkpoints import newest_manifest
from learnd.daemon.verbs.options import StateArgument

_NOTHING = "Nothing was asked for."

verb = typer.Typer()


@verb.command()
def ctl(
    directory: StateArgument,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {', '.join(ACTIONS)}.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE")] = None,
    why: Annotated[str, typer.Option("--why", help="For the history.")] = "",
) -> None:
    """Command the daemon that keeps its state in DIR; one that is not running obeys when it starts."""
    print(ask(directory, action, arguments or [], why))


def ask(root: Path, action: str, arguments: Sequence[str], why: str) -> str:
    """Leave a command in the state directory `root`; return what will become of it.

    Raises StoreError if nothing was trained there, SettingsError if there is no such action, if it does not take the
    arguments (each `name=value`), or if no phase comes next.
    """
    record = read_settings_record(root)
    if record is None:
        raise StoreError(
            f"{root}: no daemon has trained there yet. {_NOTHING} Wait until it says `consuming`, or name the "
            "directory of another one."
        )
    given = _checked(action, arguments)
    if action == "next_phase":
        given = {"after": _phase_to_end(root, record), **given}
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    path = Inbox(root).put(Command("", action, given, _user(), at, why))
    return (
        f"asked: {action} acts ahead of the next records that are trained, or at once if none come; what becomes of it "
        f"is a line in {root / HISTORY_FILE}. Until then, {path} can be removed to take it back."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        return str(os.getuid())


def _checked(action: str, arguments: Sequence[str]) -> Facts:
    """Return the arguments by name, if the action takes them."""
    if action not in ACTIONS:
        meant = did_you_mean(action, ACTIONS)
        raise SettingsError([f"unknown action {action!r}{meant}; there are {', '.join(ACTIONS)}. {_NOTHING}"])
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise SettingsError([f"{argument}: write an argument as name=value. {_NOTHING}"])
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError([f"{argument}: the value is not YAML. {_NOTHING}"]) from error
    if given and ACTIONS[action].between_calls:
        raise SettingsError([f"{action}: it acts as its rule in the settings says; give no arguments. {_NOTHING}"])
    try:
        return ACTIONS[action].model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise SettingsError([f"{action}: {problem}. {_NOTHING}" for problem in problems]) from error


def _phase_to_end(root: Path, record: Facts) -> int:
    """Return the phase that the training is in. Raises SettingsError if none comes next."""
    phases, phase = len(record["given"].get("phases", ())), _phase(root)
    if phase + 1 >= phases:
        where = f"the model is in phase {phase}, the last one" if phases else "the settings have no phases"
        raise SettingsError([f"{root}: {where}: nothing comes next. {_NOTHING}"])
    return phase


def _phase(root: Path) -> int:
    """Return the phase that the daemon is in, or was: the history has each beginning at once."""
    try:
        lines = (root / HISTORY_FILE).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        lines = []
    whole = [line for line in lines if line.endswith(b"}\n")]  # the daemon may be writing the last one
    begun: list[int] = [json.loads(line)["number"] for line in whole if b'"event": "phase"' in line]
    return begun[-1] if begun else int(newest_manifest(root)["phase"])
