"""Scores of probabilities: the log loss and the area under the ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.tasks.tallies import Scores, Tally, defined, ratio
from learnd.daemon.values import Arrays, Float32, Float64, Int64

_LEAST_PROBABILITY = 1e-7  # what Keras clips to as well; the log loss of one prediction is at most 16.1
_FRACTION_BITS = 32  # the log loss is summed in units of 2^-32, as integers
_LEAST_BIN = np.float32(2.0**-24)  # the distance between two float32 just below 1
_BIN_SHIFT = 23 - 8  # keep 8 bits of the mantissa: 256 bins from one power of two to the next
_LEAST_BITS = int(_LEAST_BIN.view(np.int32)) >> _BIN_SHIFT
_HALF = (int(np.float32(0.5).view(np.int32)) >> _BIN_SHIFT) - _LEAST_BITS
_BINS = 2 * _HALF + 1


class LogLoss(Tally):
    """The mean of -log(probability given to the actual label), in nats, at most 16.1 for a prediction.

    `add` takes the probability of a label and whether it came, both of the same shape. With `of_truth`, it takes the
    probability of the class that came; NaN, for a class that is new, does not count. The sum is an integer in units of
    2^-32, so the order does not matter.
    """

    def __init__(self, *, of_truth: bool) -> None:
        self._of_truth = of_truth
        super().__init__(loss=np.zeros(3, np.int64))  # whole nats, 2^-32 nats, predictions

    def add(self, predicted: Float32, actual: NDArray[Any]) -> None:
        given = predicted.astype(np.float64)
        if self._of_truth:
            given = given[~np.isnan(given)]
        if not self._of_truth:
            given = np.where(actual, given, 1 - given)
        units = loss_units(given)
        self._add_units(int(units.sum()), units.size)

    def _add_units(self, units: int, count: int) -> None:
        """Add a loss in units of 2^-32, of so many predictions."""
        loss = self.arrays["loss"]
        fraction = int(loss[1]) + units
        loss += (fraction >> _FRACTION_BITS, -int(loss[1]), count)
        loss[1] = fraction & ((1 << _FRACTION_BITS) - 1)

    def scores(self) -> Scores:
        whole, fraction, count = self.arrays["loss"].tolist()
        return defined(log_loss=ratio((whole << _FRACTION_BITS) + fraction, count << _FRACTION_BITS))


class ElementsLogLoss(LogLoss):
    """The same over all elements of tensors: `add` takes the sum of the `loss_units` of each sample (m,), and labels of
    which the first column (m, ...) is the number of elements.
    """

    def __init__(self) -> None:
        super().__init__(of_truth=True)

    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        self._add_units(sum(predicted.tolist()), int(actual[:, 0].sum()))  # more may come than 64 bits hold


def loss_units(given: NDArray[Any]) -> Int64:
    """Return -log of probabilities given to what came, in units of 2^-32."""
    within = np.minimum(np.maximum(given.astype(np.float64), _LEAST_PROBABILITY), 1)
    return np.rint(np.log(within) * -(2.0**_FRACTION_BITS)).astype(np.int64)


class Auc(Tally):
    """The area under the ROC curve, of probabilities counted in bins: two in one bin are a tie, which counts half.

    There are 256 bins from each power of two to the next, of p below one half and of 1 - p above it, down to 2^-24. So
    a bin is never wider than 1/1024, nor wider than 1/256 of its distance from 0 or 1. Probabilities below 2^-24, the
    smallest distance from 1 that float32 has, share a bin.
    """

    def __init__(self) -> None:
        super().__init__(bins=np.zeros(2 * _BINS, np.int64))

    def add(self, predicted: Float32, actual: NDArray[np.bool_]) -> None:
        np.add.at(self.arrays["bins"], _bin(predicted) + actual * _BINS, 1)

    def scores(self) -> Scores:
        negatives, positives = self.arrays["bins"].reshape(2, _BINS)
        at_or_below = np.cumsum(negatives)
        beaten = positives * (2.0 * at_or_below - negatives)  # in half pairs; as floats, since there may be very many
        pairs = 2.0 * float(positives.sum()) * float(at_or_below[-1])
        return defined(auc=ratio(float(beaten.sum()), pairs))


def _bin(probability: Float32) -> Int64:
    """Return the bin of each probability, in [0, _BINS). A higher probability never has a lower bin."""
    edge = np.maximum(np.minimum(probability, 1 - probability), _LEAST_BIN)
    distance = (edge.view(np.int32) >> _BIN_SHIFT).astype(np.int64) - _LEAST_BITS
    return np.where(probability > 0.5, 2 * _HALF - distance, distance)


def squares(outputs: Float32, labels: Float32) -> Float64:
    """Return the mean squared difference (m,) of probabilities (m, C) and labels that are 0 or 1: the Brier score
    (Verification of forecasts expressed in terms of probability, Monthly Weather Review 1950), from 0 to 1.
    """
    differences: Float64 = np.clip(outputs, 0, 1).astype(np.float64) - labels
    mean: Float64 = (differences**2).mean(axis=1)
    return mean


def observe_yes_or_no(outputs: Float32, labels: Float32) -> Arrays:
    """Return what tallies count of labels that are 0 or 1, of the shape of the outputs; see `TaskKind.observe`."""
    probability = np.minimum(np.maximum(outputs, np.float32(0)), np.float32(1))
    return {"label": labels > 0.5, "predicted": probability > 0.5, "probability": probability}
