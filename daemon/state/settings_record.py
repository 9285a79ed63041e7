"""What the state directory remembers of the settings that its journal was written under."""

from __future__ import annotations

import json
from pathlib import Path

from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import Facts

_FILE = "settings.json"


def write_settings_record(root: Path, record: Facts) -> None:
    """Remember the settings, in their order: that of the features is that of the model's columns. Raises OSError."""
    replace_synced(root / _FILE, json.dumps(record).encode())


def read_settings_record(root: Path) -> Facts | None:
    """Return what the last daemon remembered of its settings; None if there was none, or it is not readable."""
    try:
        record: Facts = json.loads((root / _FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return record
