"""What the verb `next-phase` does. Needs no TensorFlow, and no daemon that runs."""

from __future__ import annotations

from pathlib import Path

from daemon.checkpoints import newest_manifest
from daemon.errors import SettingsError, StoreError
from daemon.state.keeper import read_settings_record
from daemon.state.phase_request import PhaseRequest


def ask_for_next_phase(root: Path) -> str:
    """Leave the request in the state directory `root`. Return what will become of it.

    Raises StoreError where nothing was trained there, SettingsError where no phase comes next.
    """
    record = read_settings_record(root)
    if record is None:
        raise StoreError(f"{root}: nothing was trained there yet. Nothing was asked for. Name a --state directory.")
    phases, phase = len(record["settings"].get("phases", ())), newest_manifest(root)["phase"]
    if phase + 1 >= phases:
        where = f"the model is in phase {phase}, the last of {phases}" if phases else "the settings have no phases"
        raise SettingsError([f"{root}: {where}: nothing comes next. Nothing was asked for."])
    PhaseRequest(root).write()
    return f"asked: the phase after {phase} begins with the next records that are trained, or at the next start"
