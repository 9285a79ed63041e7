"""`learnd ctl`: leaves a command for the daemon of a state directory. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic.fields import FieldInfo
from rich.markup import escape

from learnd.daemon.actions import ACTIONS, COMMANDS
from learnd.daemon.actions.contract import REFUSED
from learnd.daemon.asking import NOTHING, checked, leave
from learnd.daemon.config.document import typed
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.state.directory import check_state_directory
from learnd.daemon.state.history import HISTORY_FILE, newest_first
from learnd.daemon.state.lock import holder_of
from learnd.daemon.values import Command, Facts
from learnd.daemon.verbs.options import StateArgument

_WAIT_S = 5.0  # for the outcome
_LOOK_EVERY_S = 0.05
_LATEST_BYTES = 1 << 20  # of the history


def _usages() -> Iterator[str]:
    """Yield a line for each action: its arguments, and what it does."""
    for name in COMMANDS:
        action = ACTIONS[name]
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
    action: Annotated[str, typer.Argument(metavar="ACTION", help=f"One of {', '.join(COMMANDS)}.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="What the action takes: see below.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="For the history.")] = "",
) -> None:
    """Command the daemon that keeps its state in DIR; one that is not running obeys when it starts.

    The exit code is 78 if the command makes no sense, or if the daemon refuses it within five seconds.
    """
    command, path = ask(directory, action, arguments or [], why)
    outcome = _outcome(directory, command, path)
    print(_left(directory, command, path) if outcome is None else _told(outcome))


def ask(root: Path, action: str, arguments: Sequence[str], why: str) -> tuple[Command, Path]:
    """Leave a command in the state directory `root`; return it and its file.

    Raises SettingsError if there is no such action, if it does not take the arguments (each `name=value`), or if no
    phase comes next; StoreError if no daemon has started there.
    """
    given = checked(action, _by_name(action, arguments))
    check_state_directory(root, NOTHING)
    return leave(root, Command("", action, given, _user(), why=why))


def _outcome(root: Path, command: Command, path: Path) -> Facts | None:
    """Return what the history says of a command, if a daemon runs and obeys before long, and if that can be read."""
    until_s = time.monotonic() + _WAIT_S
    with suppress(StoreError, OSError):
        while holder_of(root) is not None and time.monotonic() < until_s:
            if not path.exists():  # it is in the journal
                for line in newest_first(root / HISTORY_FILE, "command", _LATEST_BYTES):
                    if line["id"] == command.id:
                        return line
            time.sleep(_LOOK_EVERY_S)
    return None


def _told(outcome: Facts) -> str:
    """Return what became of a command. Raises SettingsError if it was refused."""
    if outcome["outcome"] == REFUSED:
        raise SettingsError([f"{outcome['action']} was refused: {outcome['reason']}"])
    told = f"{outcome['action']}: {outcome['outcome']}"
    if "changed" not in outcome:
        return told
    return f"{told}; changed: {', '.join(outcome['changed']) or 'nothing'}"


def _left(root: Path, command: Command, path: Path) -> str:
    return (
        f"asked: {command.action} acts ahead of the next records that are trained, or at once if none come; what "
        f"becomes of it is a line in {root / HISTORY_FILE}. Until then, {path} can be removed to take it back."
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        return str(os.getuid())


def _by_name(action: str, arguments: Sequence[str]) -> Facts:
    """Return the values of arguments that are given as `name=value`."""
    given: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise SettingsError([f"{action}: {argument}: write an argument as name=value. {NOTHING}"])
        given[name] = _read(f"{action}: {argument}", value)
    return given


def _read(argument: str, value: str) -> Any:
    """Return a value; one in braces or brackets is YAML. Raises SettingsError."""
    if value[:1] + value[-1:] not in ("{}", "[]"):
        return typed(value)
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SettingsError([f"{argument}: what is in braces is no YAML. {NOTHING}"]) from error
