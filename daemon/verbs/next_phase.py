"""What the verb `next-phase` does. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

import json
from pathlib import Path

from learnd.daemon.control.phase_request import PhaseRequest
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.evaluation.history import HISTORY_FILE
from learnd.daemon.state.keeper import read_settings_record
from learnd.daemon.verbs.checkpoints import newest_manifest


def ask_for_next_phase(root: Path) -> str:
    """Leave the request in the state directory `root`. Return what will become of it.

    Raises StoreError where nothing was trained there, SettingsError where no phase comes next.
    """
    record = read_settings_record(root)
    if record is None:
        raise StoreError(f"{root}: nothing was trained there yet. Nothing was asked for. Name a --state directory.")
    phases, phase = len(record["settings"].get("phases", ())), _phase(root)
    if phase + 1 >= phases:
        where = f"the model is in phase {phase}, the last one" if phases else "the settings have no phases"
        raise SettingsError([f"{root}: {where}: nothing comes next. Nothing was asked for."])
    request = PhaseRequest(root)
    request.write(phase)
    return (
        f"asked: phase {phase} ends ahead of the next records that are trained, and phase {phase + 1} begins. "
        f"Until then, {request.path} can be removed to take it back."
    )


def _phase(root: Path) -> int:
    """Return the phase that the daemon is in, or was: the history has each beginning at once."""
    try:
        lines = (root / HISTORY_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    begun: list[int] = [json.loads(line)["number"] for line in lines if b'"event": "phase"' in line]
    return begun[-1] if begun else int(newest_manifest(root)["phase"])
