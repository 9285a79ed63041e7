"""Settings of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from learnd.daemon.foundation.section import Section, did_you_mean


class CheckpointEvery(Section):
    """When to save: at whichever limit is reached first."""

    samples: PositiveInt = 50_000
    """Trained samples between two checkpoints."""

    seconds: PositiveFloat = 30.0
    """Seconds between two checkpoints, for a stream that is too slow to reach `samples` in time."""


class BestSettings(Section):
    """Which checkpoints to keep for their score."""

    metric: str = "accuracy"
    """A prequential score of the whole run or, with `window`, of the latest samples."""

    window: PositiveInt | None = None
    """One of `validate.prequential.windows`. Default: the whole run."""

    mode: Literal["max", "min"] = "max"
    """Whether the highest or the lowest score is the best."""

    keep: NonNegativeInt = 1
    """How many of the best checkpoints to keep in addition to the newest."""


class CheckpointSettings(Section):
    """Where the state lives and how often it is saved."""

    harmless: ClassVar[Mapping[str, str]] = {
        "dir": "where the state is, never what it is",
        "every": "when it is saved",
        "keep": "how many old ones stay",
        "best": "which old ones stay",
    }
    live: ClassVar[Mapping[str, str]] = {
        "every": "at once",
        "keep": "when the next checkpoint is written",
        "best": "when the next checkpoint is written",
    }

    dir: Path = Path("state")
    """The state directory: checkpoints, journal, dead letters, history. One daemon at a time."""

    every: CheckpointEvery = CheckpointEvery()
    """When to save."""

    keep: Annotated[int, Field(ge=2)] = 5
    """How many of the newest checkpoints to keep. At least two: if one is broken, the one before it is used."""

    best: BestSettings | None = None
    """Also keep the best checkpoints by a score."""

    def doubt(self) -> str | None:
        there = next(path for path in (self.dir, *self.dir.parents) if os.access(path, os.F_OK))
        if os.access(there, os.W_OK | os.X_OK):
            return None
        return f"{there} cannot be written by the user of this command: a run that is theirs would end with 74"


def problems_with_best(
    best: BestSettings | None, windows: Collection[int], published: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with the score that chooses checkpoints: if it is never published, it keeps none."""
    if best is not None and best.window is not None and best.window not in windows:
        yield f"checkpoint.best.window: {best.window} is none of validate.prequential.windows {windows}"
    if best is not None and best.metric not in published:
        yield f"checkpoint.best.metric: {best.metric!r} is not published{did_you_mean(best.metric, published)}"
