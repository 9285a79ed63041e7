"""What is compared: whatever predicts each sample before it learns it. The baselines are the simplest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np

from learnd.daemon.bench.ran import Observed, Ran
from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.errors import LearndError
from learnd.daemon.tasks.baselines import PRIORS, LabelPriors
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Float32, Task

Maker: TypeAlias = Literal["learnd", "river", "baseline"]

_CELLS = 2**20  # limits the memory of what is predicted at once: samples times classes


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a contestant."""

    stop: Callable[[], bool]
    """Whether it is to stop."""
    advance: Callable[[int], None]
    """Is told of so many more samples that are through."""


class ContestantError(Exception):
    """Raised when a contestant gives up; the rest can still be compared."""

    def __init__(self, why: str, exit_code: int = LearndError.exit_code) -> None:
        """`exit_code` is that of a run that ends with the same."""
        super().__init__(why)
        self.exit_code = exit_code


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


@dataclass(frozen=True, slots=True)
class PriorsContestant:
    """The baseline `priors`, as a model whose probabilities are the shares so far: it predicts what is most likely."""

    name: str = PRIORS
    maker: Maker = "baseline"

    def run(self, recorded: Recorded, watch: Watch) -> Ran:
        observed, outputs = Observed(recorded), recorded.task.outputs
        priors = LabelPriors((outputs,))
        rows = max(_CELLS // outputs, 1)
        for start in range(0, len(recorded), rows):
            labels = recorded.targets[start : start + rows]
            observed.add(_shares(priors, recorded.task, labels), labels)
            watch.advance(len(labels))
        return observed.ran()


def _shares(priors: LabelPriors, task: Task, labels: Float32) -> Float32:
    """Return the probability (m, C) of each class or label before each of the labels (m, O), which are learnt."""
    if task.outputs == task.label_columns:
        return priors.follow(labels > 0.5)
    shares = priors.follow(labels == np.arange(task.outputs))
    shares /= shares.sum(axis=1, keepdims=True)  # of classes, one comes: (count + 1) / (seen + classes)
    return shares


def baselines(task: Task) -> list[Contestant]:
    """Return those of the task."""
    named = [name for name in KINDS[task.kind].baselines(task) if name != PRIORS]
    return [*map(BaselineContestant, named), *([PriorsContestant()] if KINDS[task.kind].probability_tallies() else [])]
