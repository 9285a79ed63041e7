"""What an update is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.training.guard import Guard


@dataclass(frozen=True, slots=True)
class Parts:
    """Model, optimizer and what belongs to them: the same in each phase."""

    model: Any
    optimizer: Any
    loss: Any
    metrics: Sequence[Any]
    guard: Guard | None
    clip_norm: float | None  # gradients are scaled down to this global norm
    outputs: int  # C
    widths: tuple[tuple[int, ...], ...]  # of x, y and the weight of a sample
    infer: Callable[[Any], Any]
    kept: Callable[[], Mapping[str, Any]]  # the variables that a checkpoint holds, by their names
