"""Lines of the history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history: a score, a drift, a reaction, a checkpoint. `samples` were trained before it."""

    kind: str
    samples: int
    data: Mapping[str, Any]
