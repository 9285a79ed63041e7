"""`learnd run`: train from the stream."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from learnd.daemon.config.file import located_problems
from learnd.daemon.config.first_look import problems
from learnd.daemon.config.given_settings import GivenSettings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import RestartError, StoppedError, StoreError
from learnd.daemon.operate.signals import StopSignal
from learnd.daemon.operate.terminal import never_waiting
from learnd.daemon.verbs.options import AsJson, Overrides, SettingsFile, StateOption, as_given, first_read

verb = typer.Typer()


@verb.command()
def run(
    file: SettingsFile,
    overrides: Overrides = None,
    state: StateOption = None,
    as_json: AsJson = False,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", metavar="", help="Take the state directory from a daemon that hangs or is gone."),
    ] = False,
) -> None:
    """Train from the stream until it ends or a signal comes; go on where the last run stopped."""
    given = as_given(file, overrides, state)
    settings = first_read(given, problems)
    with located_problems(file, overrides or ()):
        train(settings, as_json=as_json, take_over=take_over, given=given)


def train(
    settings: Settings,
    *,
    as_json: bool,
    recorded: bool = False,
    take_over: bool = False,
    given: GivenSettings | None = None,
) -> None:
    """Run the daemon, and print its summary. `recorded`: the stream has a known end. `given` can be read again."""
    stop = StopSignal(settings.shutdown_timeout_s, reloads=given is not None)
    try:
        with never_waiting():
            with stop:
                from learnd.daemon import run as daemon
                from learnd.daemon.reload import Reload

                options = daemon.Options(
                    take_over=take_over,
                    http=not recorded,
                    recorded=recorded,
                    reload=None if given is None else Reload(given, stop),
                )
                summary = daemon.run(settings, stop, options)
            print(summary.json() if as_json else summary.text(), end="\n" if as_json else "")
    except RestartError as restart:
        if stop():
            raise StoppedError(
                "stopped after the journal was repeated and saved; the new settings take effect at the next start"
            ) from restart
        _start_again()


def _start_again() -> NoReturn:
    """Go on as the same command under the same process number. Nothing of this process stays."""
    arguments = [argument for argument in sys.orig_argv[1:] if argument != "--take-over"]  # that is done
    try:
        os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  (no shell is wanted)
    except OSError as error:
        raise StoreError(
            f"{sys.executable} cannot be started again, which the new settings need: {error.strerror}. Everything is "
            "saved; start learnd again."
        ) from error
