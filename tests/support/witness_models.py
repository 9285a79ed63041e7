"""Models whose variables record which records trained them, and in which order."""

from typing import Any

import keras
import tensorflow as tf

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.layers import RunningStandardization
from learnd.daemon.training.networks import AveragedNetwork, LastLabels, Mixture, SoftBins
from learnd.daemon.values import SampleSpec

MOST_IDS = 8192


@keras.saving.register_keras_serializable("crash")
class Witness(keras.layers.Layer):  # type: ignore[misc]  # keras is untyped
    """Counts each id (column 0) that trains, and keeps a checksum that depends on the order of updates."""

    def build(self, _shape: Any) -> None:
        self.seen = self.add_weight(name="seen", shape=(MOST_IDS,), dtype="int32", trainable=False, initializer="zeros")
        self.order = self.add_weight(name="order", shape=(), dtype="int32", trainable=False, initializer="zeros")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            ids = tf.cast(inputs[:, 0], tf.int32)
            self.seen.assign(tf.tensor_scatter_nd_add(self.seen.value, ids[:, None], tf.ones_like(ids)))
            self.order.assign(self.order.value * 31 + tf.reduce_sum(ids * (1 + tf.range(tf.size(ids)))))
        return inputs[:, 1:]

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[1] - 1)


def plain(spec: SampleSpec) -> Any:
    """One hidden layer under the running standardisation."""
    inputs = keras.Input((spec.width,))
    hidden = RunningStandardization()(Witness()(inputs))
    hidden = keras.layers.Dense(8, activation="relu")(hidden)
    units = spec.task.outputs
    return keras.Model(inputs, keras.layers.Dense(units, activation="sigmoid" if units == 1 else "softmax")(hidden))


def noisy(spec: SampleSpec) -> Any:
    """Dropout and BatchNormalization, whose state is easily lost, and a frozen layer."""
    inputs = keras.Input((spec.width,))
    hidden = RunningStandardization()(Witness()(inputs))
    frozen = keras.layers.Dense(8, activation="tanh", trainable=False)(hidden)
    hidden = keras.layers.BatchNormalization()(frozen)
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="relu")(hidden))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="binary_crossentropy")
    return model


def mixture(spec: SampleSpec) -> Any:
    """Networks that learn beside each other; one sees bins, the other the last labels."""
    inputs, outputs = keras.Input((spec.width,)), spec.task.outputs
    columns = RunningStandardization()(Witness()(inputs))
    seen = {"bins": SoftBins(4)(columns), "lags": LastLabels(outputs)(columns)}
    said = [
        AveragedNetwork([4], outputs, "relu", 0.9, name=name)(keras.layers.Concatenate()([columns, more]))
        for name, more in seen.items()
    ]
    link = KINDS[spec.task.kind].last_activation
    return keras.Model(inputs, Mixture([*seen], link, lagged=1)(said))
