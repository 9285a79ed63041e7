"""`learnd ctl`: leaves a command for the daemon of a state directory. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from pydantic.fields import FieldInfo
from rich.markup import escape

from learnd.daemon.actions import ACTIONS
from learnd.daemon.asking import NOTHING, checked, leave
from learnd.daemon.config.document import typed
from learnd.daemon.errors import SettingsError
from learnd.daemon.state.directory import check_state_directory
from learnd.daemon.state.history import HISTORY_FILE
from learnd.daemon.values import Command, Facts
from learnd.daemon.verbs.options import StateArgument


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
    given = checked(action, _by_name(action, arguments))
    check_state_directory(root, NOTHING)
    _, path = leave(root, Command("", action, given, _user(), why=why))
    return (
        f"asked: {action} acts ahead of the next records that are trained, or at once if none come; what becomes of it "
        f"is a line in {root / HISTORY_FILE}. Until then, {path} can be removed to take it back."
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
