"""How labels are scored that are tensors: sequences, images, masks.

A score is over all elements of all samples, as a mean of Keras is over all axes. The unit of windows, counts and drifts
is the sample: its error is the mean over its elements, and a window keeps a few numbers of each sample, not its
elements. Arrays (m, E) have the elements of a sample side by side.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.tasks.baselines import PRIORS, Baseline, LabelPriors, MajorityLabel, NoChange, RunningMean
from learnd.daemon.tasks.contract import Better, ErrorRange, Scoring
from learnd.daemon.tasks.probabilities import ElementsLogLoss, loss_units, observe_yes_or_no
from learnd.daemon.tasks.tallies import BinaryCounts, Scores, Tally, add_spread, defined, ratio
from learnd.daemon.values import Arrays, Float32, Float64, Int64, Task

_CELLS = 2**18  # limits the memory of running counts: samples times classes


class Elements(Scoring):
    """The parts of a scoring that are the same whatever an element is."""

    error_range = ErrorRange.UP_TO_ONE

    def kept(self, rows: Arrays) -> Arrays:
        label = rows["label"]
        kept = {"label": self.of_labels(label), "scored": rows["scored"]}
        for name, column in rows.items():
            if name in ("probability", PRIORS):
                kept[name] = _units(column, label)
            elif name not in kept:
                kept[name] = self.of_predictions(column, label)
        return kept

    @abstractmethod
    def of_labels(self, label: NDArray[Any]) -> NDArray[Any]:
        """Return what the tallies need of each label: (m, E) gives (m, ...)."""

    @abstractmethod
    def of_predictions(self, predicted: NDArray[Any], label: NDArray[Any]) -> NDArray[Any]:
        """Return what the tallies need of each prediction: (m, E) gives (m, ...)."""


class _Probable(Elements):
    """Elements that the model gives probabilities for."""

    main_metrics = ("accuracy", "log_loss")
    shown_metric = "accuracy"

    def probability_tallies(self) -> dict[str, Tally]:
        return {"log_loss": ElementsLogLoss()}


class NumberElements(Elements):
    """Each element is a number."""

    metrics: ClassVar = {"mae": Better.LOWER, "rmse": Better.LOWER, "r2": Better.HIGHER}
    main_metrics = ("r2", "rmse", "mae")
    shown_metric = "rmse"
    error_range = ErrorRange.UNBOUNDED

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        return {"label": side_by_side(labels), "predicted": side_by_side(outputs)}

    def of_labels(self, label: NDArray[Any]) -> Float64:
        """Return the mean over the elements and their squared distance from it: exactly 0 if all are the same."""
        shifted = label.astype(np.float64) - label[:, :1]
        mean = shifted.mean(axis=1)
        within = ((shifted - mean[:, None]) ** 2).mean(axis=1)
        return np.stack((label[:, 0] + mean, within), axis=1)

    def of_predictions(self, predicted: NDArray[Any], label: NDArray[Any]) -> Float64:
        """Return the mean absolute and the mean squared error."""
        error = predicted.astype(np.float64) - label
        return np.stack((np.abs(error).mean(axis=1), (error * error).mean(axis=1)), axis=1)

    def tally(self, task: Task) -> Tally:  # noqa: ARG002
        return ElementErrors()

    def baselines(self, task: Task) -> dict[str, Baseline]:
        count = math.prod(task.shape)
        return {"no_change": NoChange(np.zeros(count, np.float32)), "running_mean": RunningMean(count)}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        return _mean_of_sample(np.abs(outputs - labels))


class BinaryElements(_Probable):
    """Each element is 0 or 1, such as a pixel of a mask."""

    metrics: ClassVar = {
        "accuracy": Better.HIGHER,
        "log_loss": Better.LOWER,
        **dict.fromkeys(("precision", "recall", "f1", "kappa", "kappa_temporal"), Better.HIGHER),
    }

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        return observe_yes_or_no(side_by_side(outputs), side_by_side(labels))

    def of_labels(self, label: NDArray[Any]) -> Int64:
        """Return how many elements there are, and how many of them are 1."""
        return np.stack((np.full(len(label), label.shape[1]), np.count_nonzero(label, axis=1)), axis=1)

    def of_predictions(self, predicted: NDArray[Any], label: NDArray[Any]) -> Int64:
        """Return how many elements are predicted to be 1, and how many of these are."""
        return np.stack((np.count_nonzero(predicted, axis=1), np.count_nonzero(predicted & label, axis=1)), axis=1)

    def tally(self, task: Task) -> Tally:  # noqa: ARG002
        return ElementCounts()

    def baselines(self, task: Task) -> dict[str, Baseline]:
        count = math.prod(task.shape)
        constants = {"majority": MajorityLabel((count,)), PRIORS: LabelPriors((count,))}
        return {"no_change": NoChange(np.zeros(count, np.bool_)), **constants}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        return _mean_of_sample((outputs > 0.5) != (labels > 0.5))

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        return _mean_of_sample((np.clip(outputs, 0, 1).astype(np.float64) - labels) ** 2)


class ClassElements(_Probable):
    """Each element is one of several classes, such as the tag of a word."""

    metrics: ClassVar = {"accuracy": Better.HIGHER, "log_loss": Better.LOWER, "kappa_temporal": Better.HIGHER}

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        label = side_by_side(labels).astype(np.int32)
        each = outputs.reshape(*label.shape, outputs.shape[-1])
        probability = np.take_along_axis(each, label[..., None], axis=2)[..., 0]
        return {"label": label, "predicted": each.argmax(axis=2).astype(np.int32), "probability": probability}

    def of_labels(self, label: NDArray[Any]) -> Int64:
        """Return how many elements there are."""
        return np.full((len(label), 1), label.shape[1])

    def of_predictions(self, predicted: NDArray[Any], label: NDArray[Any]) -> Int64:
        """Return how many elements are predicted correctly."""
        hits: Int64 = np.count_nonzero(predicted == label, axis=1)[:, None]
        return hits

    def tally(self, task: Task) -> Tally:  # noqa: ARG002
        return ElementHits()

    def baselines(self, task: Task) -> dict[str, Baseline]:
        last = NoChange(np.zeros(math.prod(task.shape), np.int32))
        return {"no_change": last, "majority": CommonClass(task), PRIORS: ClassShares(task)}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        return _mean_of_sample(outputs.argmax(axis=-1) != labels)

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        came = np.arange(outputs.shape[-1]) == labels[..., None]
        squares = (np.clip(outputs, 0, 1).astype(np.float64) - came) ** 2
        return _mean_of_sample(np.minimum(squares.sum(axis=-1) / 2, 1))


class ElementErrors(Tally):
    """Sums of the errors of each sample, and R² over all elements: see `ErrorSums`."""

    def __init__(self) -> None:
        of_labels = {name: np.zeros(1, np.float64) for name in ("origin", "labels", "spread")}
        super().__init__(count=np.zeros(1, np.int64), errors=np.zeros(2), within=np.zeros(1), **of_labels)

    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        if not len(actual):
            return
        sums, seen = self.arrays, int(self.arrays["count"][0])
        sums["errors"] = running_sum(sums["errors"], predicted)[-1].copy()
        sums["within"] = running_sum(sums["within"], actual[:, 1:])[-1].copy()
        add_spread(sums, actual[:, :1], seen)
        sums["count"] = sums["count"] + len(actual)

    def scores(self) -> Scores:
        count = int(self.arrays["count"][0])
        if not count:
            return {}
        absolute, squared = self.arrays["errors"].tolist()
        spread = float(self.arrays["within"][0] + self.arrays["spread"][0])
        return defined(
            mae=absolute / count, rmse=math.sqrt(squared / count), r2=1 - squared / spread if spread > 0 else None
        )


class ElementCounts(BinaryCounts):
    """The confusion matrix of all elements, from the counts of each sample."""

    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        elements, positive = actual.sum(axis=0, dtype=np.int64)
        said, hits = predicted.sum(axis=0, dtype=np.int64)
        self.arrays["counts"] += (elements, positive, said, hits)


class ElementHits(Tally):
    """How many elements there were, and how many were predicted correctly."""

    def __init__(self) -> None:
        super().__init__(elements=np.zeros(1, np.int64), hits=np.zeros(1, np.int64))

    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        self.arrays["elements"] += actual.sum(axis=0, dtype=np.int64)
        self.arrays["hits"] += predicted.sum(axis=0, dtype=np.int64)

    def scores(self) -> Scores:
        return defined(accuracy=ratio(int(self.arrays["hits"][0]), int(self.arrays["elements"][0])))


class _ClassesSoFar(Baseline):
    """Counts the classes of all elements so far."""

    def __init__(self, task: Task) -> None:
        super().__init__(counts=np.zeros(task.outputs, np.int64))
        self._elements = math.prod(task.shape)

    def _before(self, labels: NDArray[np.int32]) -> Iterator[tuple[slice, Int64]]:
        """Yield pieces of the labels (m, E), and the counts (m, C) before each of their samples; learn them."""
        classes = len(self.arrays["counts"])
        step = max(1, _CELLS // classes)
        for start in range(0, len(labels), step):
            part = labels[start : start + step]
            cells = part + np.arange(len(part), dtype=np.int64)[:, None] * classes
            each = np.bincount(cells.ravel(), minlength=len(part) * classes).reshape(len(part), classes)
            after = self.arrays["counts"] + np.cumsum(each, axis=0)
            self.arrays["counts"] = after[-1].copy()
            yield slice(start, start + len(part)), after - each


class CommonClass(_ClassesSoFar):
    """Predicts for each element the class that came most often so far; if several did, that with the lowest index."""

    def follow(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        leaders = np.empty_like(labels)
        for rows, counts in self._before(labels):
            leaders[rows] = counts.argmax(axis=1)[:, None]
        return leaders

    def guess(self) -> NDArray[np.int32]:
        return np.full(self._elements, self.arrays["counts"].argmax(), np.int32)


class ClassShares(_ClassesSoFar):
    """Gives the probability of the class of each element: its share so far, (count + 1) / (seen + classes)."""

    def follow(self, labels: NDArray[np.int32]) -> Float32:
        shares = np.empty(labels.shape, np.float32)
        for rows, counts in self._before(labels):
            shares[rows] = _share(np.take_along_axis(counts, labels[rows], axis=1), counts.sum(axis=1)[:, None], counts)
        return shares

    def guess(self) -> Float32:
        """Return the probability of the most frequent class."""
        return np.full(self._elements, _share(self.arrays["counts"].max(), self._seen(), self.arrays["counts"]))

    def stand(self, labels: NDArray[np.int32]) -> Float32:
        counts = self.arrays["counts"]
        return _share(counts[labels], self._seen(), counts)

    def _seen(self) -> Int64:
        return np.asarray(self.arrays["counts"].sum())


def _share(count: Int64, seen: Int64, counts: Int64) -> Float32:
    share: Float32 = ((count + 1) / (seen + counts.shape[-1])).astype(np.float32)
    return share


def side_by_side(values: NDArray[Any]) -> NDArray[Any]:
    """Return the elements of each sample side by side: (m, ...) gives (m, E)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _mean_of_sample(values: NDArray[Any]) -> Float64:
    """Return the mean over the elements of each sample, (m,), which does not depend on the other samples."""
    mean: Float64 = side_by_side(values).astype(np.float64).mean(axis=1)
    return mean


def _units(given: NDArray[Any], label: NDArray[Any]) -> Int64:
    """Return the sum (m,) of the log losses of probabilities (m, E): of being 1, if labels are booleans, else of what
    came.
    """
    of_truth = np.where(label, given, 1 - given.astype(np.float64)) if label.dtype == np.bool_ else given
    units: Int64 = loss_units(of_truth).sum(axis=1)
    return units
