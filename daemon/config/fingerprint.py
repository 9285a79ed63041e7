"""What of the settings the model depends on, and the fingerprint of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learnd.daemon.config.keys import counts
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.foundation.section import Section


def fingerprint(settings: Settings) -> str:
    """Return the SHA-256, in hex, of the settings that the model depends on, in canonical JSON.

    The order of the features counts: it is that of the model's columns.
    """
    return hashlib.sha256(canonical(settings).encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return what counts of a value of the settings, in the form that the fingerprint is made of."""
    return json.dumps(what_counts(value), separators=(",", ":"), ensure_ascii=False, default=str)


def what_counts(value: Any) -> Any:
    """Return a value of the settings as JSON would hold it, without the keys that the model does not depend on.

    A file counts by its name alone, since the folder may move; a source by its settings, whatever it is called.
    """
    if isinstance(value, SourceChoice):
        return what_counts(value.settings)
    if isinstance(value, Section):
        section = type(value)
        return {name: what_counts(getattr(value, name)) for name in section.model_fields if counts(section, name)}
    if isinstance(value, Mapping):
        return {str(key): what_counts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [what_counts(item) for item in value]
    return value.name if isinstance(value, Path) else value
