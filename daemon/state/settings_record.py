"""The file of a state directory that remembers the settings. What is in it: see `config.record`."""

from __future__ import annotations

import json
from pathlib import Path

from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import Facts

SETTINGS_RECORD = "settings.json"


def write_settings_record(root: Path, record: Facts) -> None:
    """Write the record, its keys in their order: that of the features is that of the columns. Raises OSError."""
    replace_synced(root / SETTINGS_RECORD, json.dumps(record).encode())


def read_settings_record(root: Path) -> Facts | None:
    """Return the record of the last daemon; None if there is none, or it is not readable."""
    try:
        record: Facts = json.loads((root / SETTINGS_RECORD).read_bytes())
    except (OSError, ValueError):
        return None
    return record if {"fingerprint", "given", "defaults"} <= record.keys() else None
