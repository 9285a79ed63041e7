"""Which classes have trained so far, if a model has room for more of them than have come.

A unit without a class must not count: it takes a share of the probability, and can lead, before the model has learnt
that nothing comes there. So a prediction is scored as if the model had only the units of the classes that trained
before: their probabilities are divided by their sum.

To have trained means to have come with a trained sample. A rollback does not take that back, as it does not take back
what the baselines know of the stream: scores are of the whole stream, whatever becomes of the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import Counters
from learnd.daemon.values import Float32, Int64, known_before


class Known(Counters):
    """How many classes trained so far: one more than the highest index, as classes are numbered as they come."""

    def __init__(self) -> None:
        super().__init__(known=np.zeros(1, np.int64))

    def follow(self, labels: NDArray[Any]) -> Int64:
        """Return how many were known before each label (m,), and learn the labels."""
        counts = known_before(labels, int(self.arrays["known"][0]))
        self.arrays["known"] = counts[-1:].copy()
        return counts[:-1]

    def stand(self, labels: NDArray[Any]) -> Int64:
        """Return how many are known, for each of samples with these labels, without learning them."""
        return np.broadcast_to(self.arrays["known"], len(labels))


def among_known(outputs: Float32, known: Int64) -> Float32:
    """Return probabilities (m, C) with 0 for what is not among the first `known` (m,), and a sum of 1 for the rest.

    Of what is not finite nothing comes that means anything.
    """
    shares: Float32 = np.where(np.arange(outputs.shape[1]) < known[:, None], outputs, np.float32(0))
    with np.errstate(invalid="ignore"):
        total = shares.sum(axis=1, keepdims=True)
        np.divide(shares, total, out=shares, where=total > 0)
    return shares
