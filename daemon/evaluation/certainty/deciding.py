"""The threshold of a decision: the one that would have been best lately."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.evaluation.certainty.settings import CostSettings
from learnd.daemon.foundation.counters import Counters, up_to_multiples
from learnd.daemon.values import Float64

_BINS = 512  # of equal width in logits from -12 to 12; the outer two are open
_EDGES: Float64 = np.concatenate(([0.0], 1 / (1 + np.exp(-np.linspace(-12, 12, _BINS + 1)[1:-1]))))
_BLOCK = 100  # samples between two choices
_KEPT = 0.99  # of the counts, from choice to choice: about 10,000 samples count
_ENOUGH = 5.0  # counts of each label before anything is chosen


class Threshold(Counters):
    """Counts of probabilities in bins, by label and forgotten exponentially, and the edge of a bin that is chosen.

    Without a cost, the edge with the best F1 is chosen. Before both labels came often enough, it is that of calibrated
    probabilities: for costs, Elkan, "The foundations of cost-sensitive learning" (2001), and one half for F1. Among
    equally good edges, the nearest to that is chosen.
    """

    def __init__(self, cost: CostSettings | None) -> None:
        self._cost = cost
        prior = 0.5 if cost is None else cost.false_positive / (cost.false_positive + cost.false_negative)
        self._first = int(np.abs(_EDGES - prior).argmin())
        super().__init__(
            counts=np.zeros((2, _BINS)),
            block=np.zeros((2, _BINS), np.int64),
            seen=np.zeros(1, np.int64),
            edge=np.full(1, self._first, np.int64),
        )

    @property
    def threshold(self) -> float:
        """The least probability that is decided to be positive."""
        return float(_EDGES[self.arrays["edge"][0]])

    def follow(self, given: Float64, labels: NDArray[np.bool_], usable: NDArray[np.bool_]) -> Float64:
        """Return the threshold (m,) before each probability (m,), and learn the labels of those that are usable."""
        thresholds = np.empty(len(given))
        for rows in up_to_multiples(int(self.arrays["seen"][0]), len(given), _BLOCK):
            thresholds[rows] = self.threshold
            taken = usable[rows]
            bins = np.searchsorted(_EDGES, given[rows][taken], side="right") - 1
            counts = np.bincount(bins + _BINS * labels[rows][taken], minlength=2 * _BINS)
            self.arrays["block"] = self.arrays["block"] + counts.reshape(2, _BINS)
            self.arrays["seen"] = self.arrays["seen"] + (rows.stop - rows.start)
            if self.arrays["seen"][0] % _BLOCK == 0:
                self._choose()
        return thresholds

    def _choose(self) -> None:
        self.arrays["counts"] = self.arrays["counts"] * _KEPT + self.arrays["block"]
        self.arrays["block"] = np.zeros_like(self.arrays["block"])
        negatives, positives = self.arrays["counts"]
        if min(negatives.sum(), positives.sum()) < _ENOUGH:
            return
        false_positives = np.cumsum(negatives[::-1])[::-1]
        hits = np.cumsum(positives[::-1])[::-1]
        misses = hits[0] - hits
        if self._cost is None:
            loss = 1 - 2 * hits / np.maximum(2 * hits + false_positives + misses, 1e-300)
        else:
            loss = self._cost.false_positive * false_positives + self._cost.false_negative * misses
        best = np.flatnonzero(loss <= loss.min() * (1 + 1e-9))
        self.arrays["edge"] = best[np.abs(best - self._first).argmin()][None].astype(np.int64)
