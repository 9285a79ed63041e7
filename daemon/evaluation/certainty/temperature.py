"""One temperature for all logits, fitted on the stream.

Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks" (2017), who fit it once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import Counters, running_sum, up_to_multiples
from learnd.daemon.values import Float64

_BLOCK = 100  # samples between two steps
_KEPT = 0.95  # of the curvature, from step to step: about 2,000 samples count
_LEAST_LOGIT = -20.0
_PRIOR = 20.0  # curvature at the start: the first steps are small
_LEAST = 1.0  # curvature that a step is divided by
_MOST_STEP, _MOST = 0.5, 3.0  # of the logarithm: temperatures from 0.05 to 20


class Temperature(Counters):
    """Newton's steps on the logarithm of the inverse temperature, one for each block of the stream.

    The gradient is that of a block, the curvature that of the blocks so far, forgotten exponentially. With logits z,
    b = 1 / temperature and p = softmax(b z), the log loss of label y has the gradient b (E_p[z] - z_y) in log b, and
    the Gauss-Newton curvature b² Var_p[z].
    """

    def __init__(self) -> None:
        super().__init__(
            log_inverse=np.zeros(1), curvature=np.full(1, _PRIOR), block=np.zeros(2), count=np.zeros(1, np.int64)
        )

    @property
    def temperature(self) -> float:
        return float(np.exp(-self.arrays["log_inverse"][0]))

    def follow(self, logits: Float64, labels: NDArray[np.int64], usable: NDArray[np.bool_]) -> tuple[Float64, Float64]:
        """Return calibrated probabilities (m, C) of logits (m, C), and the temperature (m,) of each; learn the labels.

        Those that are not usable are not learnt. A logit of -inf is that of a class that cannot be.
        """
        parts, temperatures = [], np.empty(len(logits))
        for rows in up_to_multiples(int(self.arrays["count"][0]), len(logits), _BLOCK):
            parts.append(self.stand(logits[rows]))
            temperatures[rows] = self.temperature
            self._learn(logits[rows], parts[-1], labels[rows], usable[rows])
        return (np.concatenate(parts) if parts else logits), temperatures

    def stand(self, logits: Float64) -> Float64:
        """Return calibrated probabilities, without learning anything."""
        scaled = logits * np.exp(self.arrays["log_inverse"])
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-1e30))
        shares: Float64 = powers / np.maximum(powers.sum(axis=1, keepdims=True), 1e-300)
        return shares

    def _learn(self, logits: Float64, given: Float64, labels: NDArray[np.int64], usable: NDArray[np.bool_]) -> None:
        inverse = float(np.exp(self.arrays["log_inverse"][0]))
        finite = np.maximum(logits, _LEAST_LOGIT)
        mean = (given * finite).sum(axis=1)
        variance = (given * (finite - mean[:, None]) ** 2).sum(axis=1)
        slope = inverse * (mean - finite[np.arange(len(labels)), np.where(usable, labels, 0)])
        both = np.stack((slope, inverse * inverse * variance), axis=1)[usable]
        self.arrays["block"] = running_sum(self.arrays["block"], both)[-1].copy()
        self.arrays["count"] = self.arrays["count"] + len(labels)
        if self.arrays["count"][0] % _BLOCK == 0:
            self._step()

    def _step(self) -> None:
        slope, curve = self.arrays["block"].tolist()
        self.arrays["curvature"] = self.arrays["curvature"] * _KEPT + curve
        step = min(max(-slope / max(float(self.arrays["curvature"][0]), _LEAST), -_MOST_STEP), _MOST_STEP)
        self.arrays["log_inverse"] = np.clip(self.arrays["log_inverse"] + step, -_MOST, _MOST)
        self.arrays["block"] = np.zeros(2)
