"""What is compared: whatever predicts each sample before it learns it. The baselines are the simplest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.tasks.baselines import PRIORS
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Task

Maker: TypeAlias = Literal["learnd", "river", "baseline"]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a contestant."""

    stop: Callable[[], bool]
    """Whether it is to stop."""
    advance: Callable[[int], None]
    """Is told of so many more samples that are through."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a contestant has made of m samples."""

    predicted: NDArray[Any]
    """(m, ...) in the form of the column `predicted` of `TaskKind.observe`, each made before its sample was learnt."""
    scored: NDArray[np.bool_]
    """(m,) whether the prediction is one: finite, and of something."""
    timed: int = 0
    """How many samples took `seconds`."""
    seconds: float = 0.0
    start_seconds: float | None = None
    """What it took to build and compile it; None if that is nothing worth measuring."""

    @property
    def samples_per_second(self) -> float | None:
        return self.timed / self.seconds if self.timed and self.seconds else None


class ContestantError(Exception):
    """Raised when a contestant of others gives up; the rest can still be compared."""


class Contestant(Protocol):
    """Learns the samples of a recording, one pass, in their order."""

    @property
    def name(self) -> str:
        """What it is called in the table; no other one is called that."""

    @property
    def maker(self) -> Maker:
        """Whose it is."""

    def run(self, recorded: Recorded, watch: Watch) -> Ran | None:
        """Predict and then learn each sample; None if it was stopped before the last.

        Raises ContestantError if it alone cannot go on, and LearndError.
        """


@dataclass(frozen=True, slots=True)
class BaselineContestant:
    """One of the task's baselines, which look at no feature. What it costs is not worth measuring."""

    name: str
    maker: Maker = "baseline"

    def run(self, recorded: Recorded, watch: Watch) -> Ran:
        labels = recorded.labels
        predicted = KINDS[recorded.task.kind].baselines(recorded.task)[self.name].follow(labels)
        watch.advance(len(labels))
        return Ran(predicted, np.arange(len(labels)) > 0)  # before the first label there is nothing to predict from


def baselines(task: Task) -> list[BaselineContestant]:
    """Return those that predict a label."""
    return [BaselineContestant(name) for name in KINDS[task.kind].baselines(task) if name != PRIORS]
