"""How far probabilities are from how often things come."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.tasks.tallies import Scores, Tally, defined, ratio

_BINS = 15
_UNIT = 2.0**24  # probabilities are summed in units of 2^-24, as integers, so that the order does not matter


class CalibrationError(Tally):
    """The expected calibration error, in 15 bins of equal width.

    It is the mean over the predictions of the distance, in the bin of each, between the mean probability and the share
    that came. `add` takes probabilities and whether what they are of came: of the positive value, for a binary task; of
    the class that the model predicts, for classes. Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern
    neural networks" (2017).
    """

    def __init__(self) -> None:
        super().__init__(bins=np.zeros((2, _BINS), np.int64), claimed=np.zeros(_BINS, np.int64))

    def add(self, predicted: NDArray[Any], actual: NDArray[Any]) -> None:
        bins = np.minimum((predicted * np.float32(_BINS)).astype(np.int64), _BINS - 1)
        counts = np.bincount(bins + _BINS * actual, minlength=2 * _BINS).reshape(2, _BINS)
        units = np.bincount(bins, np.rint(predicted.astype(np.float64) * _UNIT), _BINS)
        self.arrays["bins"] = self.arrays["bins"] + counts
        self.arrays["claimed"] = self.arrays["claimed"] + units.astype(np.int64)

    def scores(self) -> Scores:
        came = self.arrays["bins"][1]
        apart = np.abs(self.arrays["claimed"] / _UNIT - came).sum()
        return defined(ece=ratio(float(apart), int(self.arrays["bins"].sum())))
