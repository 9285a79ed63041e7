"""The kinds of task by name, a module each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from learnd.daemon.tasks.contract import Better, TaskKind

_MODULES = (
    "binary",
    "classes",
    "regression",
    "multi_label",
)

KINDS: Mapping[str, TaskKind[Any]] = {name: import_module(f"{__package__}.{name}").KIND for name in _MODULES}

BETTER: Mapping[str, Better] = {name: better for kind in KINDS.values() for name, better in kind.metrics.items()}
"""Which values of a metric are the better ones: the same for every kind of task that has it."""


ALL_METRICS = frozenset(BETTER)
