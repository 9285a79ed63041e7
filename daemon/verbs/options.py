"""What verbs have in common: their arguments and options, and how the settings are loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from learnd.daemon.config.given_settings import GivenSettings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import StoreError
from learnd.daemon.operate.logs import configure_logging

SettingsFile = Annotated[Path, typer.Argument(metavar="SETTINGS", help="The settings file (YAML).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a setting: train.batch_size=32.")
]
StateOption = Annotated[Path | None, typer.Option("--state", metavar="DIR", help="The state directory.")]
StateArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The state directory.")]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Overwrite an existing file.")]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object on standard output.")]


def check_output(output: Path, option: str, *, force: bool, kept: Iterable[Path] = ()) -> None:
    """Raise StoreError if a file must not be written: one that is there without `force`, and one of `kept` in any case.

    `kept` are files that the command reads: records or settings.
    """
    if not output.is_file():
        return
    if any(path.exists() and output.samefile(path) for path in kept):
        raise StoreError(f"{output} is what this command reads. Nothing was written. Give another {option}.")
    if not force:
        raise StoreError(f"{output} exists. Nothing was written. Give another {option}, or --force to overwrite it.")


def load(
    file: Path,
    overrides: Sequence[str] | None,
    state: Path | None = None,
    further: Callable[[Settings], Sequence[str]] | None = None,
) -> Settings:
    """Load the settings, and log as they say.

    `further` looks for problems in the files that sound settings name. Raises SettingsError with every problem.
    """
    return first_read(as_given(file, overrides, state), further)


def as_given(file: Path, overrides: Sequence[str] | None, state: Path | None = None) -> GivenSettings:
    """Return the settings as the command line names them."""
    extra = [] if state is None else [f"checkpoint.dir={json.dumps(str(state))}"]
    return GivenSettings(file, [*(overrides or []), *extra])


def first_read(given: GivenSettings, further: Callable[[Settings], Sequence[str]] | None = None) -> Settings:
    """Read the settings, and log as they say. As `load`."""
    settings = given.read(further)
    configure_logging(settings.log)
    return settings
