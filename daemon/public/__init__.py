"""learnd: keeps a Keras model learning from a live stream.

These names are for build functions, notebooks and tests. Each is imported when it is first used: some need TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learnd.daemon.config.file import load_settings
    from learnd.daemon.config.place import encoder
    from learnd.daemon.errors import LearndError
    from learnd.daemon.stream.encoding import Encoder
    from learnd.daemon.training.layers import RunningLabelScale, RunningStandardization, TakeColumns
    from learnd.daemon.values import Column, ColumnKind, SampleSpec

_HOMES = {
    "Column": "learnd.daemon.values",
    "ColumnKind": "learnd.daemon.values",
    "Encoder": "learnd.daemon.stream.encoding",
    "LearndError": "learnd.daemon.errors",
    "RunningLabelScale": "learnd.daemon.training.layers",
    "RunningStandardization": "learnd.daemon.training.layers",
    "SampleSpec": "learnd.daemon.values",
    "TakeColumns": "learnd.daemon.training.layers",
    "encoder": "learnd.daemon.config.place",
    "load_settings": "learnd.daemon.config.file",
}

__all__ = [
    "Column",
    "ColumnKind",
    "Encoder",
    "LearndError",
    "RunningLabelScale",
    "RunningStandardization",
    "SampleSpec",
    "TakeColumns",
    "encoder",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnd' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
