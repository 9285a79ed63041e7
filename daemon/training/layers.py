"""Keras layers for streams. Importing this module registers them, so that an exported model opens in plain Keras."""

from __future__ import annotations

from typing import Any

from learnd.daemon.training.runtime import keras, tf

_SURE = 10  # samples after which a value beyond ten standard deviations is taken for an outlier
_REFIT, _REFIT_HORIZON = 2000, 125  # samples


@keras.saving.register_keras_serializable("learnd")
class RunningStandardization(keras.layers.Layer):
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
        scale = tf.math.rsqrt(tf.maximum(self.variance.value, 1e-12))
        scaled = (inputs - self.mean.value) * scale
        return tf.clip_by_value(scaled, -self.limit, self.limit)

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
class TakeColumns(keras.layers.Layer):
    """Selects columns of the feature matrix: (batch, width) to (batch, len(indices))."""

    def __init__(self, indices: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.indices = list(indices)

    def call(self, inputs: Any) -> Any:
        return tf.gather(inputs, self.indices, axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], len(self.indices))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "indices": self.indices}
