"""What telemetry reads of the daemon's parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from learnd.daemon.tasks.behind import Behind
from learnd.daemon.values import Event, Facts


@dataclass(frozen=True, slots=True)
class Views:
    """What telemetry reads now and then: all of it cheap, and only from the loop's thread."""

    scores: Callable[[], Mapping[str, float]]
    baselines: Callable[[], Mapping[str, Mapping[str, float]]]
    window_scores: Callable[[int], Mapping[str, float]]
    window_baselines: Callable[[int], Mapping[str, Mapping[str, float]]]
    behind: Callable[[], Sequence[Behind]]
    contest: Callable[[], Facts]  # who leads, and how each challenger stands
    latest: Callable[[], Sequence[Event]]  # the scores up to now, as they would be published
    window: int
    metric: str  # the one that the display shows
    learning_rate: Callable[[], float]
    phase: Callable[[], int]
    trainable_parameters: Callable[[], int]
    traces: Callable[[], int]
    lag: Callable[[], Mapping[str, int]]
    held: Callable[[], Mapping[str, tuple[int, int]]]  # by the source, from where to where, by partition
    lag_unit: Literal["records", "bytes"]
    connected: Callable[[], bool]
    queued: Callable[[], int]
    paused: Callable[[], str | None]  # why
    threads: Mapping[str, Mapping[str, float]]  # seconds by activity, kept up to date
    features: Callable[[], Facts]  # what each does
    served_otherwise: Callable[[], tuple[str, str] | None]  # how predictions outside of the stream differ
