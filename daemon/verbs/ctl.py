"""`learnd ctl`: leaves a command for the daemon of a state directory. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from rich.markup import escape

from learnd.daemon.actions import ACTIONS
from learnd.daemon.config.document import Document, typed
from learnd.daemon.config.problems import Outline, describe
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.state.directory import check_state_directory, newest_sound_manifest
from learnd.daemon.state.history import HISTORY_FILE
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.values import Command, Facts
from learnd.daemon.verbs.options import StateArgument

_NOTHING = "Nothing was asked for."


def _usages() -> Iterator[str]:
    """Yield a line for each action: its arguments, and what it does."""
    for name, action in ACTIONS.items():
        taken = {} if action.between_calls else action.model_fields
        usage = [_usage(key, field) for key, field in taken.items()]
        told = [f"{key}: {field.description}" for key, field in taken.items()]
        text = " ".join(" ".join([str(action.__doc__), *told]).split())
        yield f"[bold]{name}[/bold] {escape(' '.join([*usage, '-', text]))}"


def _usage(key: str, field: FieldInfo) -> str:
    if field.is_required():
        return f"{key}=..."
    return f"[{key}=...]" if field.default is None else f"[{key}={field.default}]"


verb = typer.Typer()


@verb.command(epilog="\n\n".join(["The actions:", *_usages()]))
def ctl(
    directory: StateArgument,
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {', '.join(ACTIONS)}.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="What the action takes: see below.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the history.")] = "",
) -> None:
    """Command the daemon that keeps its state in DIR; one that is not running obeys when it starts."""
    print(ask(directory, action, arguments or [], why))


def ask(root: Path, action: str, arguments: Sequence[str], why: str) -> str:
    """Leave a command in the state directory `root`; return what will become of it.

    Raises SettingsError if there is no such action, if it does not take the arguments (each `name=value`), or if no
    phase comes next; StoreError if no daemon has started there.
    """
    given = _checked(action, arguments)
    check_state_directory(root, _NOTHING)
    if action == "next_phase":
        given = {"after": _phase_to_end(root), **given}
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
        raise SettingsError([f"unknown action {action!r}{meant_or_known(action, ACTIONS)}. {_NOTHING}"])
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise SettingsError([f"{action}: {argument}: write an argument as name=value. {_NOTHING}"])
        given[name] = typed(value)
    model = ACTIONS[action]
    if given and model.between_calls:
        raise SettingsError([f"{action}: it acts as its rule in the settings says; give no arguments. {_NOTHING}"])
    if given and not model.model_fields:
        raise SettingsError([f"{action}: it takes no arguments, and {', '.join(given)} was given. {_NOTHING}"])
    try:
        return model.model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        problems = describe(error, Document(action, {}, given), Outline(model))
        raise SettingsError([*problems, _NOTHING]) from error


def _phase_to_end(root: Path) -> int:
    """Return the phase that the training is in. Raises SettingsError if it is known that none comes next."""
    phase, record = _phase(root), read_settings_record(root)
    if record is None:
        return phase  # the daemon is starting for the first time, and will see
    phases = len(record["given"].get("phases", ()))
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
    if begun:
        return begun[-1]
    manifest = newest_sound_manifest(root)
    return 0 if manifest is None else int(manifest.get("phase", 0))
