"""The file of a state directory that remembers the settings. What is in it: see `config.record`."""

from __future__ import annotations

import json
from pathlib import Path

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.files import replace_synced
from learnd.daemon.values import Facts

SETTINGS_RECORD = "settings.json"

_WAY_OUT = (
    "Nothing was changed. Without it, the settings and defaults that trained the model are unknown. Restore it from a "
    "backup, or remove it to go on with the settings of today."
)


def write_settings_record(root: Path, record: Facts) -> None:
    """Write the record, its keys in their order: that of the features is that of the columns. Raises OSError."""
    replace_synced(root / SETTINGS_RECORD, json.dumps(record).encode())


def read_settings_record(root: Path) -> Facts | None:
    """Return the record of the last daemon; None if there is none. Raises StoreError if it is not readable."""
    path = root / SETTINGS_RECORD
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}. {_WAY_OUT}") from error
    if not isinstance(record, dict) or not record.keys() >= {"fingerprint", "given", "defaults"}:
        raise StoreError(f"{path} is not a record of settings. {_WAY_OUT}")
    return record
