"""Keras layers for streams. Importing this module registers them, so that an exported model opens in plain Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import Float64

_SURE = 10  # samples after which the deviation is known; before, the mean counts towards it
_REFIT, _REFIT_HORIZON = 2000, 125  # samples
_LOW = 1e4  # the exponential of its negative is 0
_ROUNDED = 2.0**-40  # a share of the mean: a smaller deviation is what rounding leaves of a constant


class StreamLayer(keras.layers.Layer):
    """A layer of learnd. A model that leaves learnd has built-in layers in its place."""

    def frozen(self) -> list[Any]:
        """Return built-in layers that, one after the other, do what this built layer does in inference."""
        raise NotImplementedError


class RunningStatistics(StreamLayer):
    """The mean and variance of each column of the values that it is given to learn.

    They are variables of the layer: they are saved with the model, and change only in training, by one sample or by a
    batch at a time (Welford 1962; Chan, Golub, LeVeque 1979 for the batch). The first `horizon` samples weigh the same;
    after that, older ones fade with that time constant. Once a column has varied, a value beyond `limit` standard
    deviations enters as the limit: a single one does not make the layer blind to a column, while many of them move the
    limit. A frozen layer keeps its statistics.

    They are float64: the values are float32, so that no offset, however large, and no unit, however small, costs digits
    of the mean or the deviation, and no square of a value overflows or vanishes.
    """

    def __init__(self, horizon: int = 1_000_000, limit: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.horizon = horizon
        self.limit = limit

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1],)
        self.mean = self._statistic("mean", shape, "float64")
        self.variance = self._statistic("variance", shape, "float64")
        self.count = self._statistic("count", (), "int32")
        self.refit = self._statistic("refit", (), "int32")

    def _statistic(self, name: str, shape: tuple[int | None, ...], dtype: str) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer="zeros", trainable=False, dtype=dtype, autocast=False
        )

    def start_refit(self) -> None:
        """Forget old samples faster for the next `_REFIT` samples: by a factor of e every `_REFIT_HORIZON`."""
        self.refit.assign(_REFIT)

    def learn(self, values: Any) -> None:
        """Merge a batch (B, columns) into the statistics, unless frozen. The count stays below the horizon plus B."""
        if not self.trainable:
            return
        values = self._without_strays(tf.cast(values, tf.float64))
        rows = tf.shape(values)[0]
        horizon = tf.where(self.refit.value > 0, _REFIT_HORIZON, self.horizon)
        count = tf.minimum(self.count.value, horizon) + rows
        share = tf.cast(rows, tf.float64) / tf.cast(count, tf.float64)
        batch_mean = tf.reduce_mean(values, axis=0)
        batch_variance = tf.reduce_mean(tf.square(values - batch_mean), axis=0)
        delta = batch_mean - self.mean.value
        self.variance.assign(
            self.variance.value + share * (batch_variance - self.variance.value + (1 - share) * tf.square(delta))
        )
        self.mean.assign(self.mean.value + share * delta)
        self.count.assign(count)
        self.refit.assign(tf.maximum(self.refit.value - rows, 0))

    def _varied(self) -> Any:
        """Return whether each column has varied: by more than float64 rounds, which is far less than float32 can."""
        return self.variance.value > tf.square(self.mean.value * _ROUNDED)

    def _without_strays(self, values: Any) -> Any:
        """Clip values to the limit, for columns that have varied so far. What is not finite stays: it is no update."""
        doubt = tf.where(self.count.value < _SURE, tf.abs(self.mean.value), tf.zeros_like(self.mean.value))
        reach = self.limit * (tf.sqrt(self.variance.value) + doubt)
        reach = tf.where(self._varied(), reach, tf.constant(float("inf"), tf.float64))
        clipped = tf.clip_by_value(values, self.mean.value - reach, self.mean.value + reach)
        return tf.where(tf.math.is_finite(values), clipped, values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "horizon": self.horizon, "limit": self.limit}


@keras.saving.register_keras_serializable("learnd")
class RunningStandardization(RunningStatistics):
    """Shifts and scales each feature by its running mean and standard deviation.

    A sample enters the statistics before it is scaled, which is fair since no label is involved. So the first sample
    maps to zero and the n-th to at most sqrt(n). A feature that has not varied yet maps to zero. Scaled values are
    clipped to ±`limit`, so that an outlier does not upset the following layers.

    Input and output: (batch, features).
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.learn(inputs)
        varied = self._varied()
        variance = tf.where(varied, self.variance.value, tf.ones_like(self.variance.value))
        scale = tf.where(varied, tf.math.rsqrt(variance), tf.zeros_like(variance))
        scaled = (tf.cast(inputs, tf.float64) - self.mean.value) * scale
        return tf.cast(tf.clip_by_value(scaled, -self.limit, self.limit), self.compute_dtype)

    def frozen(self) -> list[Any]:
        """Return layers that subtract the mean, scale to ±1 at the limit, clip there, and scale to ±`limit`.

        `Normalization` does not divide by deviations below 1e-7, so the scale is a layer of its own.
        """
        varied = np.asarray(self._varied())
        deviation = np.sqrt(np.where(varied, np.asarray(self.variance.value), 1.0))
        scale = np.where(varied, 1 / deviation, 0.0) / self.limit
        return [
            *centred(np.asarray(self.mean.value), self.dtype_policy),
            keras.layers.Rescaling(scale.tolist(), dtype=self.dtype_policy),
            keras.layers.Activation("hard_tanh", dtype=self.dtype_policy),
            keras.layers.Rescaling(float(self.limit), dtype=self.dtype_policy),
        ]


@keras.saving.register_keras_serializable("learnd")
class RunningLabelScale(RunningStatistics):
    """The last layer of a regression: turns what the layers before it give, in standard deviations of the label around
    its mean, into the label's own unit.

    Its statistics are those of the labels. The learner hands it the labels of each update, behind the prediction of
    their samples, and takes the loss in standard deviations (`losses.ScaledLoss`). Until the label has varied, its
    unit counts as the deviation.

    Input and output: (batch, columns of the label); the output is float32.
    """

    def call(self, inputs: Any) -> Any:
        return tf.cast(tf.cast(inputs, tf.float64) * self._deviation() + self.mean.value, tf.float32)

    def frozen(self) -> list[Any]:
        """Return one layer: the deviation times the input, plus the mean."""
        deviation, mean = np.asarray(self._deviation()), np.asarray(self.mean.value)
        return [keras.layers.Rescaling(deviation.tolist(), mean.tolist(), dtype="float32")]

    def scaled(self, values: Any) -> Any:
        """Return values in the label's unit, (batch, columns), as float32 in standard deviations around the mean."""
        return tf.cast((tf.cast(values, tf.float64) - self.mean.value) / self._deviation(), tf.float32)

    def _deviation(self) -> Any:
        return tf.where(self._varied(), tf.sqrt(self.variance.value), tf.ones_like(self.variance.value))


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
        return [keras.Model(inputs, taken, name=self.name)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices}


@keras.saving.register_keras_serializable("learnd")
class MeanOfWords(StreamLayer):
    """The mean of what the words of a text are embedded to, without the padding behind them: zeros without any word.

    Inputs: (batch, length, dimensions), and the ids (batch, length), 0 for padding. Output: (batch, dimensions).
    """

    def build(self, input_shape: Any) -> None:
        self.length, self.dimensions = input_shape[0][1:]

    def call(self, inputs: Any) -> Any:
        embedded, ids = inputs
        there = tf.cast(tf.not_equal(ids, 0), embedded.dtype)[:, :, tf.newaxis]
        return tf.reduce_sum(embedded * there, axis=1) / tf.maximum(tf.reduce_sum(there, axis=1), 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], input_shape[0][2])

    def frozen(self) -> list[Any]:
        """Return layers that weigh each word by a softmax over what is 0 for a word, and very low for padding."""
        dtype = self.dtype_policy
        embedded = keras.Input((self.length, self.dimensions), name="embedded")
        ids = keras.Input((self.length,), dtype="int32", name="ids")
        there = keras.layers.ReLU(1.0, dtype=dtype)(keras.layers.Rescaling(1.0, dtype=dtype)(ids))
        low = keras.layers.Rescaling(_LOW, -_LOW, dtype=dtype)(there)
        shares = keras.layers.Multiply(dtype=dtype)([keras.layers.Softmax(axis=1, dtype=dtype)(low), there])
        mean = keras.layers.Dot(axes=1, dtype=dtype)([shares, embedded])
        return [keras.Model([embedded, ids], mean, name=self.name)]


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
