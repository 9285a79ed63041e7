"""Predictors that know the earlier labels but no features: what a model has to beat.

Before the very first label there is nothing to predict from; what `follow` returns in its place must not be scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import Counters, earlier_alike, running_sum
from learnd.daemon.values import Float32, Float64, Int64, known_before

PRIORS = "priors"
"""The name of the baseline that predicts a probability, and no label."""

_LEAST_ROWS = 512
_CELLS = 2**18  # limits the memory of the running counts: rows times the classes that may lead


class Baseline(Counters, ABC):
    """Predicts a label from the labels before it."""

    @abstractmethod
    def follow(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the prediction made before each label (m, ...), and learn the labels."""

    @abstractmethod
    def guess(self) -> NDArray[Any]:
        """Return the prediction for the next sample."""

    def stand(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the prediction (m, ...) for each of samples with these labels, without learning them."""
        guess = self.guess()
        return np.broadcast_to(guess, (len(labels), *guess.shape))


class NoChange(Baseline):
    """Predicts the last label."""

    def __init__(self, label: NDArray[Any]) -> None:
        super().__init__(last=label)

    def follow(self, labels: NDArray[Any]) -> NDArray[Any]:
        if not len(labels):
            return labels
        before = np.concatenate((self.arrays["last"][None], labels[:-1]))
        self.arrays["last"] = np.array(labels[-1])
        return before

    def guess(self) -> NDArray[Any]:
        return self.arrays["last"]


class MajorityClass(Baseline):
    """Predicts the class that came most often so far; if several did, the one with the lowest index."""

    def __init__(self, classes: int) -> None:
        super().__init__(counts=np.zeros(classes, np.int64))
        self._rows = max(_LEAST_ROWS, _CELLS // classes)

    def follow(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        leaders = np.empty_like(labels)
        for start in range(0, len(labels), self._rows):
            rows = slice(start, start + self._rows)
            leaders[rows] = self._lead(labels[rows])
        return leaders

    def _lead(self, labels: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the leader before each label.

        Only the leader so far, and the classes that reach its count within these labels, need a running count.
        """
        counts = self.arrays["counts"]
        leader = int(counts.argmax())
        after = counts + np.bincount(labels, minlength=len(counts))
        self.arrays["counts"] = after
        rivals = np.flatnonzero((after > counts) & (after >= counts[leader]))
        contenders = np.union1d(rivals, leader)
        if len(contenders) == 1:
            return np.array(leader)
        came = labels[:, None] == contenders
        before = np.cumsum(came, axis=0) - came + counts[contenders]
        leaders: NDArray[np.int64] = contenders[before.argmax(axis=1)]
        return leaders

    def guess(self) -> NDArray[np.int32]:
        return np.array(self.arrays["counts"].argmax(), np.int32)


class MajorityLabel(Baseline):
    """Predicts for each label whether it was true more often than not so far; booleans, (m,) or (m, L)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(seen=np.zeros(1, np.int64), true=np.zeros(shape, np.int64))

    def follow(self, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if not len(labels):
            return labels
        seen, true = int(self.arrays["seen"][0]), self.arrays["true"]
        after = true + np.cumsum(labels, axis=0)
        order = np.arange(seen, seen + len(labels)).reshape(-1, *[1] * true.ndim)
        self.arrays["seen"] = self.arrays["seen"] + len(labels)
        self.arrays["true"] = np.array(after[-1])
        return 2 * (after - labels) > order

    def guess(self) -> NDArray[np.bool_]:
        return np.array(2 * self.arrays["true"] > self.arrays["seen"][0])


class LabelPriors(Baseline):
    """Gives for each label the probability that it is true, (m,) or (m, L): its share so far.

    The share is (true + 1) / (seen + 2), Laplace's rule of succession, so that no label is impossible before it comes.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(seen=np.zeros(1, np.int64), true=np.zeros(shape, np.int64))

    def follow(self, labels: NDArray[np.bool_]) -> Float32:
        seen, true = int(self.arrays["seen"][0]), self.arrays["true"]
        before = true + np.cumsum(labels, axis=0) - labels
        order = np.arange(seen, seen + len(labels)).reshape(-1, *[1] * true.ndim)
        self.arrays["seen"] = self.arrays["seen"] + len(labels)
        self.arrays["true"] = np.asarray(true + np.count_nonzero(labels, axis=0))  # NumPy makes () a scalar
        share: Float32 = ((before + 1) / (order + 2)).astype(np.float32)
        return share

    def guess(self) -> Float32:
        share = (self.arrays["true"] + 1) / (self.arrays["seen"][0] + 2)
        return np.array(share, np.float32)


class ClassPriors(Baseline):
    """Gives the probability of the class that came, (m,): its share so far, (count + 1) / (seen + classes).

    If classes are learnt, only those that came before count, and one that is new has no probability: NaN.
    """

    def __init__(self, classes: int, *, learnt: bool = False) -> None:
        super().__init__(counts=np.zeros(classes, np.int64))
        self._learnt = learnt

    def follow(self, labels: NDArray[np.int32]) -> Float32:
        counts = self.arrays["counts"]
        known = known_before(labels, self._known())[:-1]
        seen = counts.sum() + np.arange(len(labels))
        self.arrays["counts"] = counts + np.bincount(labels, minlength=len(counts))
        return self._share(counts[labels] + earlier_alike(labels), seen, labels, known)

    def guess(self) -> Float32:
        """Return the probability of the most frequent class."""
        return self.stand(np.array([self.arrays["counts"].argmax()], np.int32)).reshape(())

    def stand(self, labels: NDArray[np.int32]) -> Float32:
        counts = self.arrays["counts"]
        return self._share(counts[labels], counts.sum(), labels, self._known())

    def _known(self) -> int:
        """Return how many classes count so far."""
        counts = self.arrays["counts"]
        return int(known_before(np.flatnonzero(counts), 0)[-1]) if self._learnt else len(counts)

    @staticmethod
    def _share(count: Int64, seen: Int64, labels: NDArray[np.int32], known: Int64 | int) -> Float32:
        share = np.full(len(labels), np.nan)
        np.divide(count + 1, seen + known, out=share, where=labels < known)
        return share.astype(np.float32)


class RunningMean(Baseline):
    """Predicts the mean of the labels so far, (m, O)."""

    def __init__(self, outputs: int) -> None:
        super().__init__(seen=np.zeros(1, np.int64), sum=np.zeros(outputs, np.float64))

    def follow(self, labels: Float32) -> Float64:
        seen = int(self.arrays["seen"][0])
        sums = running_sum(self.arrays["sum"], labels)
        order = np.arange(seen, seen + len(labels))[:, None]
        self.arrays["seen"] = self.arrays["seen"] + len(labels)
        self.arrays["sum"] = sums[-1].copy()
        return sums[:-1] / np.maximum(order, 1)

    def guess(self) -> Float64:
        return self.arrays["sum"] / max(int(self.arrays["seen"][0]), 1)
