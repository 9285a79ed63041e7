"""Who did how well on the same samples, and what of that is sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.bench.contestants import Maker
from learnd.daemon.bench.ran import Ran
from learnd.daemon.contest.paired import PairedTest
from learnd.daemon.evaluation.scoreboard import kappa_temporal
from learnd.daemon.tasks.baselines import Baseline
from learnd.daemon.tasks.contract import ErrorRange
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.tallies import Scores, defined, mean
from learnd.daemon.values import Float64, Task

LEVEL = 0.05
"""The chance, at most, that anything that is said to be sure of a recording is wrong."""

BRIER = "brier"
"""The mean squared distance of the probabilities from what came (Monthly Weather Review 1950), from 0 to 1: by this
contestants are compared where one class is rare. Who predicts no probability gives 0 or 1."""

Verdict: TypeAlias = Literal["best", "surely worse", "not told apart"]

_PIECE = 1 << 16  # samples that a test takes in at once
_RARE = 0.05
_FEW = 100  # samples


@dataclass(frozen=True, slots=True)
class Entry:
    """A contestant that is through, and its scores. The first sample, for which nobody knew a label, counts nowhere."""

    name: str
    maker: Maker
    ran: Ran
    scores: Scores
    errors: Float64
    """(m,) what it is compared by; NaN where there is no prediction."""

    @property
    def unscored(self) -> int:
        """Samples without a prediction. No score includes them; in a comparison they lose."""
        return int(np.isnan(self.errors).sum())

    def rank(self, *, bounded: bool) -> tuple[int, float]:
        """Return what the order is by, the least first: the mean error, in which no prediction counts as the worst.

        Errors without a bound have no worst one: who lacks a prediction, then, stands behind all who lack fewer.
        """
        if bounded:
            return 0, float(np.where(np.isnan(self.errors), 1.0, self.errors).mean())
        known = self.errors[~np.isnan(self.errors)]
        return self.unscored, float(known.mean()) if len(known) else math.inf


def entry(name: str, maker: Maker, ran: Ran, task: Task, labels: NDArray[Any], metric: str) -> Entry:
    """Score what a contestant has predicted for labels (m, ...) as tallies count them, to be compared by a metric."""
    scored = ran.scored[1:]
    wrong = _errors(ran.predicted[1:], labels[1:])
    squares = wrong if ran.squares is None else ran.squares[1:]
    errors = np.where(scored, squares if metric == BRIER else wrong, np.nan)
    scores = _tallied(ran, task, labels, np.flatnonzero(scored) + 1)
    if _bounded(task):
        scores |= defined(brier=mean(squares[scored].tolist()))
    return Entry(name, maker, ran, scores, errors)


def _tallied(ran: Ran, task: Task, labels: NDArray[Any], rows: NDArray[np.intp]) -> Scores:
    """Return what tallies count of these rows."""
    kind = KINDS[task.kind]
    tally = kind.tally(task)
    tally.add(ran.predicted[rows], labels[rows])
    scores = tally.scores()
    if ran.probability is not None:
        for each in kind.probability_tallies().values():
            each.add(ran.probability[rows], labels[rows])
            scores |= each.scores()
    return scores


def _errors(predicted: NDArray[Any], labels: NDArray[Any]) -> Float64:
    """Return the error (m,) of each prediction: the distance of numbers, for anything else the share that is wrong.

    Their mean is the mean absolute error, or what the accuracy lacks to 1.
    """
    if np.issubdtype(labels.dtype, np.floating):
        wrong = np.abs(predicted.astype(np.float64) - labels)
    else:
        wrong = (predicted != labels).astype(np.float64)
    each: Float64 = wrong.reshape(len(labels), -1).mean(axis=1)
    return each


@dataclass(frozen=True)
class Comparison:
    """Contestants that are through, the best first, and which differences between them are sure.

    Sure is what a paired test says of the whole recording (see `PairedTest`). Which one is the best, and so which are
    compared, is known only behind the last sample: so each of the n * (n - 1) ordered pairs has its share of `LEVEL`,
    and where the labels choose the metric, too, with each metric. Nothing that is said of any of them is wrong with
    more than that chance.
    """

    task: Task
    metric: str
    """What the order is by, and every comparison (see `Entry.rank`)."""
    telling: int
    """How many samples tell contestants apart: all, or those of the rare class."""
    entries: tuple[Entry, ...]
    _found: dict[tuple[str, str], float] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, task: Task, ran: Mapping[str, tuple[Maker, Ran]], labels: NDArray[Any]) -> Comparison:
        """Compare what contestants, by name, have predicted for these labels."""
        metric, telling = _how(task, labels)
        entries = [entry(name, maker, each, task, labels, metric) for name, (maker, each) in ran.items()]
        order = sorted(entries, key=lambda one: one.rank(bounded=_bounded(task)))
        before = next((one.scores.get("accuracy") for one in order if one.name == "no_change"), None)
        return cls(task, metric, telling, tuple(_with_kappa_temporal(one, before) for one in order))

    @property
    def best(self) -> Entry:
        return self.entries[0]

    @property
    def best_baseline(self) -> Entry | None:
        return next((one for one in self.entries if one.maker == "baseline"), None)

    @property
    def one_class_is_rare(self) -> bool:
        return self.metric == BRIER

    @property
    def few(self) -> bool:
        """Whether there are too few samples to say anything."""
        return self.telling < _FEW

    @property
    def cheapest(self) -> Entry | None:
        """The fastest of learnd's presets."""
        presets = [one for one in self.entries if one.name.startswith("preset: ") and one.ran.samples_per_second]
        return max(presets, key=lambda one: one.ran.samples_per_second or 0.0, default=None)

    def times_cheapest(self, one: Entry) -> float | None:
        """Return how many times the time of the fastest preset it takes."""
        fastest = None if self.cheapest is None else self.cheapest.ran.samples_per_second
        own = one.ran.samples_per_second
        return None if fastest is None or own is None else fastest / own

    def verdict(self, one: Entry) -> Verdict:
        """Say how it stands to the best."""
        if one is self.best:
            return "best"
        return "surely worse" if self.surely_better(self.best, one) else "not told apart"

    def beats_baselines(self, one: Entry) -> bool:
        """Whether it is surely better than the best of what looks at no feature."""
        baseline = self.best_baseline
        return baseline is not None and one is not baseline and self.surely_better(one, baseline)

    def surely_better(self, one: Entry, other: Entry) -> bool:
        """Whether the test is sure, and so is the order, in which a huge error counts as what it is."""
        bounded = _bounded(self.task)
        return self.evidence(one, other) >= self.needed and one.rank(bounded=bounded) < other.rank(bounded=bounded)

    @property
    def needed(self) -> float:
        """How much evidence makes a difference sure."""
        pairs = max(len(self.entries) * (len(self.entries) - 1), 1)
        metrics = 1 if _frequent(self.task) is None else 2
        return math.log10(metrics * pairs / LEVEL)

    def evidence(self, one: Entry, other: Entry) -> float:
        """Return the logarithm, to base 10, of the evidence that `one` is better than `other` on average."""
        pair = one.name, other.name
        if pair not in self._found:
            test = PairedTest(LEVEL)
            bounded = _bounded(self.task)
            for start in range(0, len(one.errors), _PIECE):
                rows = slice(start, start + _PIECE)
                test.scan(other.errors[rows, None], one.errors[rows, None], bounded=[bounded])
            self._found[pair] = test.evidence
        return self._found[pair]


def _with_kappa_temporal(one: Entry, no_change: float | None) -> Entry:
    temporal = kappa_temporal(one.scores.get("accuracy"), no_change)
    return one if temporal is None else replace(one, scores={**one.scores, "kappa_temporal": temporal})


def metric_of(task: Task) -> str:
    """Return the usual one to compare by: the first of the task's."""
    return next(iter(KINDS[task.kind].metrics))


def _bounded(task: Task) -> bool:
    return KINDS[task.kind].error_range is not ErrorRange.UNBOUNDED


def _frequent(task: Task) -> Baseline | None:
    """Return what says the most frequent label, where there may be one that is rare; None of numbers."""
    return KINDS[task.kind].baselines(task).get("majority")


def _how(task: Task, labels: NDArray[Any]) -> tuple[str, int]:
    """Return the metric to compare by, and how many samples tell contestants apart.

    Where one class is rare, it is hardly ever wrong to say what is most frequent, and accuracy says little. Elsewhere
    it is fair to `no_change` and `majority`, too, which predict no probability.
    """
    usual = _frequent(task)
    if usual is not None and (unusual := _errors(usual.follow(labels), labels)[1:]).mean() < _RARE:
        return BRIER, int(np.count_nonzero(unusual))
    return metric_of(task), len(labels) - 1
