"""Settings for a recorded stream: the file instead of the source, a fresh state directory, no early batches."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from daemon.errors import SourceError, StoreError
from daemon.settings import Settings, SourceChoice


def replay_settings(settings: Settings, recording: Path, state: Path | None) -> Settings:
    """Return the settings with `recording` as the source.

    Raises SourceError where it is not there, StoreError where the state directory is not fresh.
    """
    if not recording.exists():
        raise SourceError(f"{recording}: there is no such file, so that there is nothing to replay; correct --from")
    source = SourceChoice.parse({"files": {"path": str(recording), "follow": False}})
    checkpoint = settings.checkpoint.model_copy(update={"dir": _fresh(settings.checkpoint.dir, state)})
    return settings.model_copy(update={"source": source, "checkpoint": checkpoint})


def _fresh(beside: Path, given: Path | None) -> Path:
    if given is None:
        return next(path for number in count(1) if not (path := beside.with_name(f"replay-{number:03d}")).exists())
    if given.exists() and any(given.iterdir()):
        raise StoreError(
            f"{given} is not empty, and a replay starts afresh. Nothing was changed. Give another --state directory; "
            "or go on from what is there with: learnd run SETTINGS --set source.files.path=FILE --state "
            f"{given}"
        )
    return given
