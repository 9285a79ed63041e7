"""What each metric is, from counts and sums.

Counts are integers and the sums of floats are strictly sequential, so that a score is a function of the sequence
of samples alone, to the last bit, however the sequence was cut. A value that is undefined (the recall
of a class that never came) is absent, never NaN. Each sample counts once, whatever its weight in training.

Sources: Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms" (2013), for test-then-train;
Bifet, Read, Žliobaitė, Pfahringer, Holmes, "Pitfalls in benchmarking data stream classification and how to avoid
them" (2013), for kappa-temporal; Cohen, "A coefficient of agreement for nominal scales" (1960), for kappa.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import Counters, running_sum
from learnd.daemon.values import Float32, Int64, Task, TaskKind

Scores: TypeAlias = dict[str, float]

METRICS: dict[TaskKind, tuple[str, ...]] = {
    TaskKind.BINARY: ("accuracy", "log_loss", "auc", "precision", "recall", "f1", "kappa", "kappa_temporal"),
    TaskKind.CLASSES: (
        *("accuracy", "log_loss", "macro_precision", "macro_recall", "macro_f1"),
        *("kappa", "kappa_temporal"),
    ),
    TaskKind.REGRESSION: ("mae", "rmse", "r2"),
    TaskKind.MULTI_LABEL: ("accuracy", "log_loss", "micro_f1", "macro_f1"),
}
ALL_METRICS = frozenset(name for names in METRICS.values() for name in names)

_LEAST_PROBABILITY = 1e-7  # what Keras clips to as well; the log loss of one prediction is at most 16.1
_FRACTION_BITS = 32  # the log loss is summed in units of 2^-32, as integers
_LEAST_BIN = np.float32(2.0**-24)  # the distance of two float32 just below 1
_BIN_SHIFT = 23 - 8  # keep 8 bits of the mantissa: 256 bins from one power of two to the next
_LEAST_BITS = int(_LEAST_BIN.view(np.int32)) >> _BIN_SHIFT
_HALF = (int(np.float32(0.5).view(np.int32)) >> _BIN_SHIFT) - _LEAST_BITS
_BINS = 2 * _HALF + 1


class Tally(Counters, ABC):
    """Counts or sums over (predicted, actual) pairs."""

    @abstractmethod
    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        """Count m pairs, in the order of the stream."""

    @abstractmethod
    def scores(self) -> Scores:
        """Return the metrics that are defined."""


class BinaryCounts(Tally):
    """The confusion of two classes, from booleans (m,). Precision, recall and F1 are those of the class 1."""

    def __init__(self) -> None:
        super().__init__(counts=np.zeros(4, np.int64))

    def add(self, predicted: NDArray[np.bool_], actual: NDArray[np.bool_]) -> None:
        count = np.count_nonzero
        self.arrays["counts"] += (len(actual), count(actual), count(predicted), count(actual & predicted))

    def scores(self) -> Scores:
        total, actual, predicted, hits = self.arrays["counts"].tolist()
        right = total - actual - predicted + 2 * hits
        chance = actual * predicted + (total - actual) * (total - predicted)
        return _defined(
            accuracy=ratio(right, total),
            precision=ratio(hits, predicted),
            recall=ratio(hits, actual),
            f1=ratio(2 * hits, predicted + actual),
            kappa=kappa(right, chance, total),
        )


class ClassCounts(Tally):
    """How often each class came, was predicted, and was predicted rightly, from class indices (m,).

    Macro averages go over the classes that came or were predicted, a precision or recall
    with nothing to divide by counting 0, as in scikit-learn.
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
        return _defined(
            accuracy=ratio(right, total),
            macro_precision=mean([hits / max(predicted, 1) for _, predicted, hits in rows]),
            macro_recall=mean([hits / max(actual, 1) for actual, _, hits in rows]),
            macro_f1=mean([2 * hits / (actual + predicted) for actual, predicted, hits in rows]),
            kappa=kappa(right, sum(actual * predicted for actual, predicted, _ in rows), total),
        )


class LabelCounts(Tally):
    """Counts per label, from booleans (m, L). Accuracy is that of a single label, averaged over labels and samples.

    The macro F1 goes over the labels that came or were predicted.
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
        return _defined(
            accuracy=ratio(int((seen - marked + 2 * hits).sum()), int(seen.sum())),
            micro_f1=ratio(2 * int(hits.sum()), int(marked.sum())),
            macro_f1=mean([2 * hit / mark for hit, mark in per_label if mark]),
        )


class ErrorSums(Tally):
    """Sums of errors, from values (m, O); a metric of several outputs is the mean of theirs.

    R² is 1 - (sum of squared errors) / (sum of squared distances from the mean label). The latter grows as in
    Welford, "Note on a method for calculating corrected sums of squares and products" (1962), over the labels less
    the first one, so that it is exactly 0, and R² absent, for labels that never change.
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
        if not seen:
            sums["origin"] = truth[0].copy()
        error = predicted - truth
        sums["absolute"] = running_sum(sums["absolute"], np.abs(error))[-1].copy()
        sums["squared"] = running_sum(sums["squared"], error * error)[-1].copy()
        shifted = truth - sums["origin"]
        totals = running_sum(sums["labels"], shifted)
        order = np.arange(seen, seen + len(truth) + 1, dtype=np.float64)[:, None]
        means = totals / np.maximum(order, 1)  # before the first label the mean is of no matter: that label is 0
        spread = (shifted - means[:-1]) * (shifted - means[1:])
        sums["spread"] = running_sum(sums["spread"], spread)[-1].copy()
        sums["labels"] = totals[-1].copy()
        sums["count"] = sums["count"] + len(truth)

    def scores(self) -> Scores:
        count = int(self.arrays["count"][0])
        if not count:
            return {}
        absolute, squared, spread = (self.arrays[name].tolist() for name in ("absolute", "squared", "spread"))
        unexplained = [error / around for error, around in zip(squared, spread, strict=True) if around > 0]
        return _defined(
            mae=mean([error / count for error in absolute]),
            rmse=mean([math.sqrt(error / count) for error in squared]),
            r2=1 - math.fsum(unexplained) / len(spread) if len(unexplained) == len(spread) else None,
        )


class LogLoss(Tally):
    """The mean of -log of the probability given to what came, in nats, at most 16.1 a prediction.

    `add` takes the probability of a label and whether it came (both of one shape), or, `of_truth`, the
    probability of the class that came. The sum is an integer in units of 2^-32, so that the order is of no matter.
    """

    def __init__(self, *, of_truth: bool) -> None:
        self._of_truth = of_truth
        super().__init__(loss=np.zeros(3, np.int64))  # whole nats, 2^-32 nats, predictions

    def add(self, predicted: Float32, actual: NDArray[Any]) -> None:
        given = predicted.astype(np.float64)
        if not self._of_truth:
            given = np.where(actual, given, 1 - given)
        given = np.minimum(np.maximum(given, _LEAST_PROBABILITY), 1)
        units = np.rint(np.log(given) * -(2.0**_FRACTION_BITS)).astype(np.int64)
        loss = self.arrays["loss"]
        fraction = int(loss[1]) + int(units.sum())
        loss += (fraction >> _FRACTION_BITS, -int(loss[1]), units.size)
        loss[1] = fraction & ((1 << _FRACTION_BITS) - 1)

    def scores(self) -> Scores:
        whole, fraction, count = self.arrays["loss"].tolist()
        return _defined(log_loss=ratio((whole << _FRACTION_BITS) + fraction, count << _FRACTION_BITS))


class Auc(Tally):
    """The area under the ROC curve, of probabilities counted in bins: two in one bin are a tie, and count half.

    256 bins from one power of two to the next, of p below a half and of 1 - p above it, down to 2^-24: a bin is
    nowhere wider than 1/1024, and no wider than 1/256 of its distance from 0 or 1. Probabilities below 2^-24, the
    least distance from 1 that float32 has, are not told apart.
    """

    def __init__(self) -> None:
        super().__init__(bins=np.zeros(2 * _BINS, np.int64))

    def add(self, predicted: Float32, actual: NDArray[np.bool_]) -> None:
        np.add.at(self.arrays["bins"], _bin(predicted) + actual * _BINS, 1)

    def scores(self) -> Scores:
        negatives, positives = self.arrays["bins"].reshape(2, _BINS)
        at_or_below = np.cumsum(negatives)
        beaten = positives * (2.0 * at_or_below - negatives)  # in halves of a pair; floats, since pairs are many
        pairs = 2.0 * float(positives.sum()) * float(at_or_below[-1])
        return _defined(auc=ratio(float(beaten.sum()), pairs))


def _bin(probability: Float32) -> Int64:
    """Return the bin of each probability, in [0, _BINS), never falling where the probability rises."""
    edge = np.maximum(np.minimum(probability, 1 - probability), _LEAST_BIN)
    distance = (edge.view(np.int32) >> _BIN_SHIFT).astype(np.int64) - _LEAST_BITS
    return np.where(probability > 0.5, 2 * _HALF - distance, distance)


def label_tally(task: Task) -> Tally:
    """Return what the predictions of `task` are counted in, the model's and the baselines' alike."""
    if task.kind == TaskKind.BINARY:
        return BinaryCounts()
    if task.kind == TaskKind.CLASSES:
        return ClassCounts(task.outputs)
    if task.kind == TaskKind.REGRESSION:
        return ErrorSums(task.outputs)
    return LabelCounts(task.outputs)


def probability_tallies(task: Task) -> dict[str, Tally]:
    """Return what the probabilities of the model are counted in, by name."""
    if task.kind == TaskKind.REGRESSION:
        return {}
    tallies: dict[str, Tally] = {"log_loss": LogLoss(of_truth=task.kind == TaskKind.CLASSES)}
    if task.kind == TaskKind.BINARY:
        tallies["auc"] = Auc()
    return tallies


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def kappa(right: int, chance: int, total: int) -> float | None:
    """Return (p_o - p_e) / (1 - p_e), where p_o = right / total, and p_e = chance / total² is the agreement by chance.

    Undefined where chance alone agrees always: one class came, and it alone was predicted.
    """
    return ratio(right * total - chance, total * total - chance)


def kappa_temporal(accuracy: float | None, no_change: float | None) -> float | None:
    """Return (p_0 - p'_e) / (1 - p'_e), where p'_e is the accuracy of predicting the last label (Bifet et al., 2013).

    Undefined where one of them is, and where the label never changed.
    """
    if accuracy is None or no_change is None:
        return None
    return ratio(accuracy - no_change, 1 - no_change)


def _defined(**scores: float | None) -> Scores:
    return {name: score for name, score in scores.items() if score is not None}
