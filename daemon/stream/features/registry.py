"""The kinds of feature by the key that chooses them, a module each."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from learnd.daemon.stream.features.contract import FeatureKind

_MODULES = (
    "number",
    "hashed",
    "listed",
    "vector",
    "timestamp",
    "image",
    "text",
)

_ALL: list[FeatureKind[Any]] = [import_module(f"{__package__}.{name}").KIND for name in _MODULES]

KINDS: Mapping[str, FeatureKind[Any]] = {kind.key: kind for kind in _ALL}
