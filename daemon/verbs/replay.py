"""`learnd replay`: train on a recorded stream, into a fresh state directory."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from learnd.daemon.config.file import located_problems
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.errors import SourceError, StoreError
from learnd.daemon.registry import IS_RECORDING, resolve
from learnd.daemon.verbs.options import AsJson, Overrides, SettingsFile, StateOption, load
from learnd.daemon.verbs.run import train

verb = typer.Typer()


@verb.command()
def replay(
    file: SettingsFile,
    recording: Annotated[Path, typer.Option("--from", metavar="FILE", help="The recorded stream.")],
    overrides: Overrides = None,
    state: StateOption = None,
    as_json: AsJson = False,
) -> None:
    """Train on a recorded stream, as fast as it goes, into a fresh state directory."""
    settings = replay_settings(load(file, overrides), recording, state)
    print(f"learnd: state in {settings.checkpoint.dir}", file=sys.stderr)
    with located_problems(file, overrides or ()):
        train(settings, as_json=as_json, recorded=True)


def replay_settings(settings: Settings, recording: Path, state: Path | None) -> Settings:
    """Return the settings with `recording` as the source, and with nothing that a live daemon writes to.

    Raises SourceError if the recording is not there, StoreError if the state directory is not fresh.
    """
    if not recording.exists():
        raise SourceError(f"{recording}: there is no such file, so there is nothing to replay; correct --from")
    source = source_of(settings, recording)
    checkpoint = settings.checkpoint.model_copy(update={"dir": _fresh(settings.checkpoint.dir, state)})
    dead_letters = settings.dead_letters.model_copy(update={"file": None, "kafka": None})  # a live daemon's own
    return settings.model_copy(
        update={
            "source": source,
            "checkpoint": checkpoint,
            "dead_letters": dead_letters,
            "predictions": settings.predictions.model_copy(update={"file": None, "kafka": None}),
        }
    )


def source_of(settings: Settings, file: Path | None) -> SourceChoice:
    """Return what reads a file to its end, records with their positions or records alone; None: standard input."""
    live = settings.source.settings
    limit = {"max_record_bytes": live.max_record_bytes} if hasattr(live, "max_record_bytes") else {}
    if file is None:
        return SourceChoice.parse({"stdin": limit})
    if not resolve(IS_RECORDING)(file):
        return SourceChoice.parse({"files": {"path": str(file), "follow": False, **limit}})
    registry = {"registry": live.registry} if hasattr(live, "registry") else {}
    return SourceChoice.parse({"recording": {"path": str(file), **limit, **registry}})


def _fresh(beside: Path, given: Path | None) -> Path:
    if given is None:
        return next(path for number in count(1) if not (path := beside.with_name(f"replay-{number:03d}")).exists())
    if given.exists() and not given.is_dir():
        raise StoreError(f"{given} is no directory. Nothing was changed. Give a new --state directory.")
    if given.exists() and any(given.iterdir()):
        raise StoreError(
            f"{given} is not empty, and a replay starts from nothing. Nothing was changed. Give another --state "
            "directory, or continue what is there with: learnd run SETTINGS --set 'source={files: {path: FILE}}' "
            f"--state {given}"
        )
    return given
