"""The kinds of task by name, a module each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from learnd.daemon.tasks.contract import TaskKind

_MODULES = (
    "binary",
    "classes",
    "regression",
    "multi_label",
)

KINDS: Mapping[str, TaskKind[Any]] = {name: import_module(f"{__package__}.{name}").KIND for name in _MODULES}

ALL_METRICS = frozenset(name for kind in KINDS.values() for name in kind.metrics)
