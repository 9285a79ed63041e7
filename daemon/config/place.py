"""Settings by their place: a settings file, or a state directory, which remembers its own."""

from __future__ import annotations

import os
from pathlib import Path

from learnd.daemon.config.file import load_settings
from learnd.daemon.config.record import restored
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.state.directory import check_state_directory
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.state.settings_record import read_settings_record
from learnd.daemon.stream.encoding import Encoder


def encoder(place: str | os.PathLike[str]) -> Encoder:
    """Return what turns records into the input of the model, by a settings file or a state directory.

    Imports no TensorFlow. Raises SettingsError if the settings cannot be used, StoreError if a directory holds no
    state.
    """
    settings = settings_at(Path(place))
    task = settings.samples.spec(settings.model.task).task
    return Encoder(settings.samples, task.kind, _learnt(settings, Path(place)) if task.learnt else task.names)


def _learnt(settings: Settings, place: Path) -> tuple[str, ...]:
    """Return the classes that the newest checkpoint knows; none if none verifies: encoding needs no class."""
    try:
        return tuple(checkpoint_of(place if place.is_dir() else settings.checkpoint.dir).manifest["classes"])
    except StoreError:
        return ()


def settings_at(place: Path) -> Settings:
    """Return the settings of a file, or those that a state directory was last trained with.

    Raises SettingsError, or StoreError if a directory holds no state.
    """
    return settings_of_state(place) if place.is_dir() else _settings_in(place)


def state_at(place: Path) -> Path:
    """Return the state directory that a settings file names, or the directory itself. Raises SettingsError."""
    return place if place.is_dir() else _settings_in(place).checkpoint.dir


def _settings_in(file: Path) -> Settings:
    if not file.exists():
        way_out = "`learnd init` writes settings, and `learnd run SETTINGS` makes the state directory"
        raise SettingsError([f"{file}: there is no such file or directory; {way_out}"])
    return load_settings(file)


def settings_of_state(root: Path) -> Settings:
    """Return the settings that a state directory was last trained with. Raises StoreError."""
    check_state_directory(root, "There is no model yet: `learnd run SETTINGS` makes one.")
    record = read_settings_record(root)
    if record is None:
        raise StoreError(f"{root}: settings.json is missing, which says how the model is built. Nothing was written.")
    return restored(record)
