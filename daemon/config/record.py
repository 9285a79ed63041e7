"""What the state directory remembers of the settings: its `settings.json`.

- `given`: what the file and the command line said; paths as they were found.
- `defaults`: the default of each key that the model depends on, as of the day when the state directory was begun.
- `fingerprint`: under which name the journal and the checkpoints know these settings.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from learnd.daemon.config.defaults import defaults, keep_defaults
from learnd.daemon.config.fingerprint import fingerprint
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import StoreError
from learnd.daemon.values import Facts


def as_file(settings: Settings) -> dict[str, Any]:
    """Return the settings as a file would hold them, as JSON values; `Settings.model_validate` takes them back.

    Defaults are left out: some keys may not even be given beside others.
    """
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)


def as_shown(settings: Settings) -> dict[str, Any]:
    """Return all settings with their defaults, as JSON values, for whoever looks: without secrets."""
    return settings.model_dump(mode="json", by_alias=True)


def record_of(settings: Settings, earlier: Facts | None) -> Facts:
    """Return the record of settings, given the one that the state directory has. Its defaults go on."""
    known = {} if earlier is None else earlier["defaults"]
    same = earlier is not None and is_same(settings, earlier)
    return {
        "fingerprint": earlier["fingerprint"] if earlier is not None and same else fingerprint(settings),
        "given": as_file(settings),
        "defaults": {path: known.get(path, default) for path, default in defaults().items()},
    }


def restored(record: Facts) -> Settings:
    """Return the recorded settings, with the defaults of their time. Raises StoreError if they are none of today's."""
    try:
        settings = Settings.model_validate(record["given"])
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise StoreError(
            f"settings.json in the state directory is not understood: {'.'.join(map(str, problem['loc']))}: "
            f"{problem['msg']}. Nothing was changed. Use the learnd that wrote it, or a new state directory."
        ) from error
    return keep_defaults(settings, record["defaults"])[0]


def is_same(settings: Settings, record: Facts) -> bool:
    """Whether a call would train the same under both. The fingerprints of two versions of learnd may differ."""
    try:
        return fingerprint(restored(record)) == fingerprint(settings)
    except StoreError:
        return False
