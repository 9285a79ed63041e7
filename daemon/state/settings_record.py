"""The settings that the journal was written with, kept in the state directory."""

from __future__ import annotations

import json
from pathlib import Path

from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import Facts

_FILE = "settings.json"


def write_settings_record(root: Path, record: Facts) -> None:
    """Write the settings in their order, since the order of features is that of the model's columns. Raises OSError."""
    replace_synced(root / _FILE, json.dumps(record).encode())


def read_settings_record(root: Path) -> Facts | None:
    """Return the settings of the last daemon; None if there was none, or if they cannot be read."""
    try:
        record: Facts = json.loads((root / _FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return record
