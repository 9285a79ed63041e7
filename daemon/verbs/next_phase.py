"""`learnd next-phase`: begin the next phase of the training. It needs no TensorFlow, and no running daemon."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from learnd.daemon.control.phase_request import PhaseRequest
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.evaluation.history import HISTORY_FILE
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.verbs.checkpoints import newest_manifest
from learnd.daemon.verbs.options import StateArgument

verb = typer.Typer()


@verb.command()
def next_phase(directory: StateArgument) -> None:
    """Begin the next phase of the training, in the daemon that keeps its state in DIR."""
    print(ask_for_next_phase(directory))


def ask_for_next_phase(root: Path) -> str:
    """Leave the request in the state directory `root`, and return what will happen.

    Raises StoreError if nothing was trained there, SettingsError if no phase comes next.
    """
    record = read_settings_record(root)
    if record is None:
        raise StoreError(f"{root}: nothing was trained there yet. Nothing was asked for. Name a --state directory.")
    phases, phase = len(record["given"].get("phases", ())), _phase(root)
    if phase + 1 >= phases:
        where = f"the model is in phase {phase}, the last one" if phases else "the settings have no phases"
        raise SettingsError([f"{root}: {where}: nothing comes next. Nothing was asked for."])
    request = PhaseRequest(root)
    request.write(phase)
    return (
        f"asked: phase {phase} ends before the next records are trained, and phase {phase + 1} begins. "
        f"To take this back until then, remove {request.path}."
    )


def _phase(root: Path) -> int:
    """Return the phase that the daemon is in, or was in when it stopped. The history has each beginning at once."""
    try:
        lines = (root / HISTORY_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    begun: list[int] = [json.loads(line)["number"] for line in lines if b'"event": "phase"' in line]
    return begun[-1] if begun else int(newest_manifest(root)["phase"])
