"""The guard: which updates are far outside of what is usual, and are therefore skipped.

An update is skipped where its loss or the norm of its gradients is not finite, or lies more than `sigma` standard
deviations above the recent mean. With one sample an update, neither is anywhere near normally distributed: the loss
of a rare class may be thousands of times the usual one whenever that class comes, and skipping it would unlearn the
class. So the statistics are not of the values, but of the logarithm of their recent maximum, which fades with a time
constant of `FADE` updates, and a standard deviation counts as at least `LEAST_DEVIATION`: at 6 of them an update has
to exceed 8,100 times what recent updates have reached. On a stationary stream of any distribution, even to exceed it
at all happens once in n updates.

A skipped value enters the statistics at the limit that it exceeded. Each one so widens the deviation, and where more
than about 1 of sigma² updates are skipped, the limit grows until they are not: a changed stream cannot lock the
training, while single strays leave the limit where it is. What is not finite enters nothing.
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

# The verdict is a sum of these, so that one dot product gives it: NaN where something is not finite.
_LOSS, _NORM = 2.0, 3.0


class Guard:
    """Judges loss and gradient norm. Its variable is part of the state, and is changed in the compiled call.

    Columns of `statistics` (5, 2) are of loss and norm, rows: updates seen, maximum, mean and variance of its
    logarithm, and the limit of the next update.
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
        """Learn anew what is usual."""
        self._statistics.assign([[0.0, 0.0]] * 4 + [[_NO_LIMIT] * 2])

    def flags(self, loss: Any, norm: Any) -> list[Any]:
        """Return what to sum into the verdict: 0 each where loss and norm are usual."""
        limits = self._statistics.value[4]
        return [_LOSS * tf.cast(loss > limits[0], tf.float32), _NORM * tf.cast(norm > limits[1], tf.float32)]

    def learn(self, loss: Any, norm: Any, finite: Any) -> None:
        """Take in the values of an update, where they are `finite`."""
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
    """Return for each verdict its `Skip`."""
    over = np.where(verdicts == _NORM, Skip.GRADIENT_NORM, Skip.LOSS)
    reasons = np.where(verdicts == 0, Skip.NONE, np.where(np.isnan(verdicts), Skip.NON_FINITE, over))
    return reasons.astype(np.uint8)
