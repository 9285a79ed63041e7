"""The metrics that follow from counts and sums over predictions and labels.

A score depends on the sequence of samples alone, to the last bit, however the sequence is cut into calls: counts are
integers, and floats are summed strictly one after the other. A metric that is undefined, such as the recall of a class
that never came, is absent, never NaN. Each sample counts once, whatever its weight in training.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import Counters, running_sum
from learnd.daemon.values import Arrays, Float32, Float64

Scores: TypeAlias = dict[str, float]


class Tally(Counters, ABC):
    """Counts or sums over pairs of a prediction and the actual label."""

    @abstractmethod
    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        """Count m pairs, in the order of the stream."""

    @abstractmethod
    def scores(self) -> Scores:
        """Return the metrics that are defined."""


class BinaryCounts(Tally):
    """The confusion matrix of two classes, from booleans (m,). Precision, recall and F1 are those of class 1."""

    def __init__(self) -> None:
        super().__init__(counts=np.zeros(4, np.int64))

    def add(self, predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> None:
        count = np.count_nonzero
        self.arrays["counts"] += (len(actual), count(actual), count(predicted), count(actual & predicted))

    def scores(self) -> Scores:
        total, actual, predicted, hits = self.arrays["counts"].tolist()
        right = total - actual - predicted + 2 * hits
        chance = actual * predicted + (total - actual) * (total - predicted)
        return defined(
            accuracy=ratio(right, total),
            precision=ratio(hits, predicted),
            recall=ratio(hits, actual),
            f1=ratio(2 * hits, predicted + actual),
            kappa=kappa(right, chance, total),
        )


class ClassCounts(Tally):
    """How often each class came, was predicted, and was predicted correctly, from class indices (m,).

    Macro averages are over the classes that came or were predicted. A precision or recall that would divide by 0
    counts as 0, as in scikit-learn.
    """

    def __init__(self, classes: int) -> None:
        self._classes = classes
        super().__init__(**{name: np.zeros(classes, np.int64) for name in ("actual", "predicted", "hits")})

    def add(self, predicted: NDArray[np.int32], actual: NDArray[np.int32]) -> None:
        self.arrays["actual"] += np.bincount(actual, minlength=self._classes)
        self.arrays["predicted"] += np.bincount(predicted, minlength=self._classes)
        self.arrays["hits"] += np.bincount(actual[actual == predicted], minlength=self._classes)

    def scores(self) -> Scores:
        counts = np.stack([self.arrays[name] for name in ("actual", "predicted", "hits")], axis=1)
        rows = counts[counts.any(axis=1)].tolist()
        total, right = sum(actual for actual, _, _ in rows), sum(hits for _, _, hits in rows)
        return defined(
            accuracy=ratio(right, total),
            macro_precision=mean([hits / max(predicted, 1) for _, predicted, hits in rows]),
            macro_recall=mean([hits / max(actual, 1) for actual, _, hits in rows]),
            macro_f1=mean([2 * hits / (actual + predicted) for actual, predicted, hits in rows]),
            kappa=kappa(right, sum(actual * predicted for actual, predicted, _ in rows), total),
        )


class LabelCounts(Tally):
    """Counts per label, from booleans (m, L). The accuracy is the share of correct labels over all samples and labels.

    The macro F1 is the mean over the labels that came or were predicted.
    """

    def __init__(self, labels: int) -> None:
        names = ("seen", "actual", "predicted", "hits")
        super().__init__(**{name: np.zeros(labels, np.int64) for name in names})

    def add(self, predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> None:
        self.arrays["seen"] += len(actual)
        self.arrays["actual"] += actual.sum(axis=0, dtype=np.int64)
        self.arrays["predicted"] += predicted.sum(axis=0, dtype=np.int64)
        self.arrays["hits"] += (actual & predicted).sum(axis=0, dtype=np.int64)

    def scores(self) -> Scores:
        seen, actual, predicted, hits = (self.arrays[name] for name in ("seen", "actual", "predicted", "hits"))
        marked = actual + predicted
        per_label = zip(hits.tolist(), marked.tolist(), strict=True)
        return defined(
            accuracy=ratio(int((seen - marked + 2 * hits).sum()), int(seen.sum())),
            micro_f1=ratio(2 * int(hits.sum()), int(marked.sum())),
            macro_f1=mean([2 * hit / mark for hit, mark in per_label if mark]),
        )


class ErrorSums(Tally):
    """Sums of errors, from values (m, O). If there are several outputs, a metric is the mean over them.

    R² is 1 - (sum of squared errors) / (sum of squared distances from the mean label). The second sum is updated as in
    Welford, "Note on a method for calculating corrected sums of squares and products" (1962). The first label is
    subtracted from all labels, so that the sum is exactly 0, and R² absent, as long as the label does not change.
    """

    def __init__(self, outputs: int) -> None:
        names = ("absolute", "squared", "origin", "labels", "spread")
        sums = {name: np.zeros(outputs, np.float64) for name in names}
        super().__init__(count=np.zeros(1, np.int64), **sums)

    def add(self, predicted: NDArray[Any], actual: Float32) -> None:
        if not len(actual):
            return
        sums, seen = self.arrays, int(self.arrays["count"][0])
        truth = actual.astype(np.float64)
        error = predicted - truth
        sums["absolute"] = running_sum(sums["absolute"], np.abs(error))[-1].copy()
        sums["squared"] = running_sum(sums["squared"], error * error)[-1].copy()
        add_spread(sums, truth, seen)
        sums["count"] = sums["count"] + len(truth)

    def scores(self) -> Scores:
        count = int(self.arrays["count"][0])
        if not count:
            return {}
        absolute, squared, spread = (self.arrays[name].tolist() for name in ("absolute", "squared", "spread"))
        unexplained = [error / around for error, around in zip(squared, spread, strict=True) if around > 0]
        return defined(
            mae=mean([error / count for error in absolute]),
            rmse=mean([math.sqrt(error / count) for error in squared]),
            r2=1 - math.fsum(unexplained) / len(spread) if len(unexplained) == len(spread) else None,
        )


def add_spread(sums: Arrays, truth: Float64, seen: int) -> None:
    """Add labels (m, O), of which `seen` came before, to `origin`, `labels` and `spread` (O,): see `ErrorSums`."""
    if not seen:
        sums["origin"] = truth[0].copy()
    shifted = truth - sums["origin"]
    totals = running_sum(sums["labels"], shifted)
    order = np.arange(seen, seen + len(truth) + 1, dtype=np.float64)[:, None]
    means = totals / np.maximum(order, 1)  # the mean before the first label does not matter: that label is 0
    spread = (shifted - means[:-1]) * (shifted - means[1:])
    sums["spread"] = running_sum(sums["spread"], spread)[-1].copy()
    sums["labels"] = totals[-1].copy()


def ratio(part: float, whole: float) -> float | None:
    """Return the quotient; None if it is undefined."""
    return part / whole if whole else None


def mean(values: list[float]) -> float | None:
    """Return the mean; None without values. The order of the values does not matter."""
    return math.fsum(values) / len(values) if values else None


def kappa(right: int, chance: int, total: int) -> float | None:
    """Return Cohen's kappa, (p_o - p_e) / (1 - p_e), with p_o = right / total and p_e = chance / total².

    p_e is the agreement by chance. Kappa is undefined if p_e is 1: only one class came, and it alone was predicted.
    Source: Cohen, "A coefficient of agreement for nominal scales" (1960).
    """
    return ratio(right * total - chance, total * total - chance)


def defined(**scores: float | None) -> Scores:
    """Return the scores that are not None."""
    return {name: score for name, score in scores.items() if score is not None}
