"""Keras layers for streams. Importing this module registers them, so that Keras opens a model that has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import Float64

_SURE = 10  # samples after which a value beyond ten standard deviations is taken for an outlier
_REFIT, _REFIT_HORIZON = 2000, 125  # samples


class StreamLayer(keras.layers.Layer):
    """A layer of learnd. A model that leaves learnd has built-in layers in its place."""

    def frozen(self) -> list[Any]:
        """Return built-in layers that, one after the other, do what this built layer does in inference."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("learnd")
class RunningStandardization(StreamLayer):
    """Shifts and scales each feature by its running mean and variance.

    The statistics are variables of the layer: they are saved with the model, and change only in training, by one sample
    or by a batch at a time (Welford 1962; Chan, Golub, LeVeque 1979 for the batch). A sample enters them before it is
    scaled, which is fair since no label is involved. So the first sample maps to zero and the n-th to at most sqrt(n).
    The first `horizon` samples weigh the same; after that, older ones fade with that time constant.
    Scaled values are clipped to ±`limit`, so that an outlier does not upset the following layers. After the first few
    samples, an outlier also enters the statistics clipped to that limit: a single one does not make the layer blind
    to a feature, while many of them move the limit.
    A frozen layer keeps its statistics.

    Input and output: (batch, features).
    """

    def __init__(self, horizon: int = 1_000_000, limit: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.limit = limit

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)
        self.mean = self.add_weight(name="mean", shape=shape, initializer="zeros", trainable=False, dtype="float32")
        self.variance = self.add_weight(
            name="variance", shape=shape, initializer="zeros", trainable=False, dtype="float32"
        )
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False, dtype="int32")
        self.refit = self.add_weight(name="refit", shape=(), initializer="zeros", trainable=False, dtype="int32")

    def start_refit(self) -> None:
        """Forget old samples faster for the next `_REFIT` samples: by a factor of e every `_REFIT_HORIZON`."""
        self.refit.assign(_REFIT)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training and self.trainable:
            self._learn(inputs)
        scaled = (inputs - self.mean.value) * self._scale()
        return tf.clip_by_value(scaled, -self.limit, self.limit)

    def _scale(self) -> Any:
        """Return (features,) one by the standard deviation."""
        return tf.math.rsqrt(tf.maximum(self.variance.value, 1e-12))

    def frozen(self) -> list[Any]:
        """Return layers that subtract the mean, scale to ±1 at the limit, clip there, and scale to ±`limit`.

        `Normalization` does not divide by deviations below 1e-7, so the scale is a layer of its own.
        """
        scale = np.asarray(self._scale(), np.float64) / self.limit
        return [
            *centred(np.asarray(self.mean.value, np.float64), self.dtype_policy),
            keras.layers.Rescaling(scale.tolist(), dtype=self.dtype_policy),
            keras.layers.Activation("hard_tanh", dtype=self.dtype_policy),
            keras.layers.Rescaling(float(self.limit), dtype=self.dtype_policy),
        ]

    def _learn(self, inputs: Any) -> None:
        """Merge the batch into the statistics. The count stays below the horizon plus a batch."""
        inputs = self._without_strays(inputs)
        rows = tf.shape(inputs)[0]
        horizon = tf.where(self.refit.value > 0, _REFIT_HORIZON, self.horizon)
        count = tf.minimum(self.count.value, horizon) + rows
        share = tf.cast(rows, tf.float32) / tf.cast(count, tf.float32)
        batch_mean = tf.reduce_mean(inputs, axis=0)
        batch_variance = tf.reduce_mean(tf.square(inputs - batch_mean), axis=0)
        delta = batch_mean - self.mean.value
        self.variance.assign(
            self.variance.value + share * (batch_variance - self.variance.value + (1 - share) * tf.square(delta))
        )
        self.mean.assign(self.mean.value + share * delta)
        self.count.assign(count)
        self.refit.assign(tf.maximum(self.refit.value - rows, 0))

    def _without_strays(self, inputs: Any) -> Any:
        """Clip values to the limit, for features that have varied so far."""
        varied = tf.logical_and(self.count.value >= _SURE, self.variance.value > 0)
        reach = tf.where(varied, self.limit * tf.sqrt(self.variance.value), float("inf"))
        return tf.clip_by_value(inputs, self.mean.value - reach, self.mean.value + reach)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "limit": self.limit}


@keras.saving.register_keras_serializable("learnd")
class TakeColumns(StreamLayer):
    """Selects columns of the feature matrix: (batch, width) to (batch, len(indices))."""

    def __init__(self, indices: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.indices = list(indices)

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.width = input_shape[-1]

    def call(self, inputs: Any) -> Any:
        return tf.gather(inputs, self.indices, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], len(self.indices))

    def frozen(self) -> list[Any]:
        """Return layers that cut out each run of neighbouring columns, and join them. Numbers stay as they are."""
        inputs = keras.Input((self.width,), name="columns")
        steps = keras.layers.Reshape((self.width, 1), dtype=self.dtype_policy)(inputs)
        runs = [
            keras.layers.Cropping1D((start, self.width - end), dtype=self.dtype_policy)(steps)
            for start, end in _runs([index % self.width for index in self.indices])
        ]
        joined = runs[0] if len(runs) == 1 else keras.layers.Concatenate(axis=1, dtype=self.dtype_policy)(runs)
        taken = keras.layers.Reshape((len(self.indices),), dtype=self.dtype_policy)(joined)
        return [keras.Model(inputs, taken, name="taken")]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices}


def centred(mean: Float64, dtype: Any) -> list[Any]:
    """Return built-in layers that subtract a mean (features,), of which none of its digits is lost in float32.

    What float32 cannot hold of the mean is subtracted second: the difference that is left by then is small.
    """
    coarse = mean.astype(np.float32).astype(np.float64)
    parts = [coarse] if np.array_equal(coarse, mean) else [coarse, mean - coarse]
    return [keras.layers.Normalization(mean=part.tolist(), variance=[1.0] * len(part), dtype=dtype) for part in parts]


def _runs(indices: list[int]) -> list[tuple[int, int]]:
    """Return the runs of indices that count up, in order: of each the first one, and the one after the last."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
