"""Settings of evaluation: the section `validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from learnd.daemon.foundation.section import Section
from learnd.daemon.tasks.registry import ALL_METRICS

Positive = Annotated[int, Field(gt=0)]


class PrequentialSettings(Section):
    """Test-then-train: each sample is predicted and scored before the update on it."""

    windows: tuple[Positive, ...] = (1_000, 10_000)
    """Sizes, in samples, of the sliding windows that are scored in addition to the whole run."""
    every: Positive = 10_000
    """Samples between two published scores."""

    @field_validator("windows")
    @classmethod
    def _no_window_twice(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(windows)) != len(windows):
            raise ValueError(f"a window is listed twice in {list(windows)}; list each size once")
        return windows


class HoldoutSettings(Section):
    """A share of the stream that is never trained on."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Share of the stream that is held out, between 0 and 1."""
    by: Literal["key", "position"] = "position"
    """What decides whether a record is held out: its key (the same for all records of a key) or its position in the
    stream."""
    size: Positive = 1_000
    """How many of the latest held-out samples are scored."""
    every: Positive = 10_000
    """Trained samples between two scores."""


class AnchorSettings(Section):
    """A fixed file of samples that are never trained on. They show what the model forgets."""

    file: Path
    """A file of samples in the format of the stream."""
    every: Positive = 50_000
    """Trained samples between two scores."""


class ValidateSettings(Section):
    """What is measured, on which samples, and how often. Baselines are published with every score."""

    prequential: PrequentialSettings = PrequentialSettings()
    """Scores of the predictions made before each update."""
    holdout: HoldoutSettings | None = None
    """Scores on a share of the stream that is never trained on. Default: off."""
    anchor: AnchorSettings | None = None
    """Scores on a fixed file of samples. Default: off."""
    metrics: tuple[str, ...] | None = None
    """Names of the metrics to publish. Default: all metrics of the task."""

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [name for name in metrics or () if name not in ALL_METRICS]
        if unknown:
            raise ValueError(f"no metric is called {', '.join(unknown)}; there are {', '.join(sorted(ALL_METRICS))}")
        return metrics

    @property
    def periods(self) -> tuple[int, ...]:
        """Sample counts: a call ends with the first update that reaches a multiple of one of them."""
        parts = (self.prequential, self.holdout, self.anchor)
        return tuple(sorted({part.every for part in parts if part is not None}))
