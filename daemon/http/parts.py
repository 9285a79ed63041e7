"""What the server shows and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learnd.daemon.operate.health import Health
from learnd.daemon.operate.live import Live
from learnd.daemon.operate.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the daemon that the server reads, from its own threads."""

    metrics: Metrics
    health: Health
    live: Live
    status: Callable[[], Mapping[str, Any]]  # what JSON can hold
    root: Path  # the state directory
