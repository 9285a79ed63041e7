"""The guard skips updates whose loss or gradient norm is far outside the usual range.

An update is skipped if its loss or the norm of its gradients is not finite, or lies more than `sigma` standard
deviations above the recent mean. With one sample per update, neither is close to normally distributed: the loss of a
rare class may be thousands of times the usual loss, and skipping its updates would unlearn the class. So the
statistics are not of the values, but of the logarithm of their recent maximum. The maximum fades with a time constant
of `FADE` updates, and the standard deviation is taken to be at least `LEAST_DEVIATION`: at 6 deviations, only updates
above 8,100 times the recent maximum are skipped. On a stationary stream of any distribution, the n-th update exceeds
the maximum at all with a probability of only 1/n.

A skipped value enters the statistics as the limit it exceeded, so each one widens the deviation. If more than about
1 in sigma² updates are skipped, the limit grows until they pass: a changed stream cannot block training, while single
outliers leave the limit where it is. Values that are not finite do not enter the statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import GuardSettings
from learnd.daemon.values import Float32, Skip

FADE = 10_000  # updates, of the maximum
LEAST_DEVIATION = 1.5  # of a natural logarithm
_MEMORY = 256  # updates, of mean and variance
_NO_LIMIT = 3.0e38

# The verdict is a sum of these, so that one dot product gives it; it is NaN if something is not finite.
_LOSS, _NORM = 2.0, 3.0


class Guard:
    """Judges loss and gradient norm. Its variable is part of the state, and changes inside the compiled call.

    `statistics` (5, 2) has a column for the loss and one for the norm. The rows are: updates seen, maximum, mean and
    variance of the maximum's logarithm, and the limit for the next update.
    """

    def __init__(self, settings: GuardSettings) -> None:
        self._sigma = settings.sigma
        self._warm_up = settings.warm_up
        self._statistics = keras.Variable(tf.zeros((5, 2)), trainable=False, name="statistics")
        self.reset()

    @property
    def variables(self) -> list[Any]:
        return [self._statistics]

    def reset(self) -> None:
        """Start the statistics over."""
        self._statistics.assign([[0.0, 0.0]] * 4 + [[_NO_LIMIT] * 2])

    def flags(self, loss: Any, norm: Any) -> list[Any]:
        """Return the two terms of the verdict: 0 for a loss or a norm within its limit."""
        limits = self._statistics.value[4]
        return [_LOSS * tf.cast(loss > limits[0], tf.float32), _NORM * tf.cast(norm > limits[1], tf.float32)]

    def learn(self, loss: Any, norm: Any, finite: Any) -> None:
        """Add the values of an update to the statistics, if they are `finite`."""
        count, peak, mean, variance, limit = tf.unstack(self._statistics.value)
        values = tf.stack([loss, norm])
        sizes = tf.abs(values)
        over = values > limit
        faded = peak * (1 - 1 / FADE)
        next_peak = tf.where(over, faded, tf.maximum(faded, sizes))
        entered = tf.math.log(tf.where(over, limit, next_peak))
        next_count = count + 1
        share = tf.maximum(1 / next_count, 1 / _MEMORY)
        delta = entered - mean
        next_mean = mean + share * delta
        next_variance = (1 - share) * (variance + share * delta * delta)
        deviation = tf.maximum(tf.sqrt(next_variance), LEAST_DEVIATION)
        next_limit = tf.where(
            next_count < self._warm_up, _NO_LIMIT, tf.minimum(tf.exp(next_mean + self._sigma * deviation), _NO_LIMIT)
        )
        after = tf.stack([next_count, next_peak, next_mean, next_variance, next_limit])
        known = tf.logical_and(finite, sizes > 0)
        self._statistics.assign(tf.where(known, after, self._statistics.value))


def reasons_of(verdicts: Float32) -> NDArray[np.uint8]:
    """Return the `Skip` of each verdict."""
    over = np.where(verdicts == _NORM, Skip.GRADIENT_NORM, Skip.LOSS)
    reasons = np.where(verdicts == 0, Skip.NONE, np.where(np.isnan(verdicts), Skip.NON_FINITE, over))
    return reasons.astype(np.uint8)
