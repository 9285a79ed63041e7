"""The layers of a mixture of networks that learn beside each other: what `preset: auto` is made of.

What they keep beside the weights that train changes behind an update, never in a call of the layer: `mixing.Mixing`
does it. All of it is variables of the layers, and so of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from learnd.daemon.training.averaging import RunningAverages
from learnd.daemon.training.layers import StreamLayer
from learnd.daemon.training.runtime import keras, tf

_LOGISTIC = 1.702  # the logistic function of 1.702 x is the normal distribution function of x, to .01

FADES = (0.0, 0.5, 0.9, 0.98)
"""What is left of an average of labels with each new one: of the first nothing, so that it is the last label."""


@keras.saving.register_keras_serializable("learnd")
class SoftBins(StreamLayer):
    """Cuts each standardised column into bins that overlap, each with one column of its own: a tent over its middle.

    With u, the share of a normal distribution below x, and n bins: max(0, 1 - |(n - 1) u - b|), b = 0 .. n - 1. So a
    layer behind it can give each stretch of a column its own value, and learn a step or a hump at once. u is taken
    from the logistic function, sigmoid(1.702 x), which plain Keras has too (Camilli, Psychometrika 1994).

    Input and output: (batch, columns) to (batch, bins * columns), all columns of the first bin first.
    """

    def __init__(self, bins: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.columns = input_shape[-1]

    def call(self, inputs: Any) -> Any:
        share = tf.math.sigmoid(_LOGISTIC * inputs)
        middle = tf.reshape(tf.range(self.bins, dtype=inputs.dtype), (1, self.bins, 1))
        tents = tf.nn.relu(1 - tf.abs((self.bins - 1) * share[:, tf.newaxis, :] - middle))
        return tf.reshape(tents, (-1, self.bins * self.columns))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.bins * input_shape[-1])

    def frozen(self) -> list[Any]:
        """Return layers that do the same: |t| is relu(t) + relu(-t)."""
        inputs = keras.Input((self.columns,), name="standardized")
        share = keras.layers.Activation("sigmoid")(keras.layers.Rescaling(_LOGISTIC)(inputs))
        middle = np.arange(self.bins, dtype=np.float32)[:, None]
        off = keras.layers.Rescaling(float(self.bins - 1), (-middle).tolist())(
            keras.layers.RepeatVector(self.bins)(share)
        )
        sides = [keras.layers.Activation("relu")(keras.layers.Rescaling(sign)(off)) for sign in (1.0, -1.0)]
        tents = keras.layers.Activation("relu")(keras.layers.Rescaling(-1.0, 1.0)(keras.layers.Add()(sides)))
        return [keras.Model(inputs, keras.layers.Flatten()(tents), name=self.name)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable("learnd")
class LastLabels(StreamLayer):
    """The last label that is known, and averages of the labels up to it that fade at three speeds.

    A label is what the mixture gives of it: ±1 for yes and no, one column for each class, a number in standard
    deviations. Before the first one all is 0. Every sample of a batch gets the same: what was known before the batch.

    Input and output: (batch, any) to (batch, 4 * columns); only the number of rows of the input counts.
    """

    def __init__(self, columns: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns = columns

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.width = input_shape[-1]
        self.averages = self.add_weight(
            name="averages", shape=(len(FADES), self.columns), initializer="zeros", trainable=False, autocast=False
        )

    def call(self, inputs: Any) -> Any:
        flat = tf.reshape(self.averages.value, (1, len(FADES) * self.columns))
        return tf.tile(flat, (tf.shape(inputs)[0], 1))

    def follow(self, labels: Any) -> None:
        """Take in the labels (batch, columns) of an update, in their order."""
        rows = tf.shape(labels)[0]
        fades = tf.constant(FADES)[:, tf.newaxis]
        after = tf.cast(tf.range(rows - 1, -1, -1), tf.float32)  # how many labels come after each
        parts = (1 - fades) * tf.pow(fades, after)  # 0 to the power of 0 is 1
        new = tf.reduce_sum(parts[:, :, tf.newaxis] * labels, axis=1)
        self.averages.assign(tf.pow(fades, tf.cast(rows, tf.float32)) * self.averages.value + new)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], len(FADES) * self.columns)

    def frozen(self) -> list[Any]:
        """Return one layer that gives the labels as they were, whatever its input."""
        bias = np.asarray(self.averages.value).reshape(-1)
        dense = keras.layers.Dense(len(bias), dtype=self.dtype_policy)
        dense.build((None, self.width))
        dense.set_weights([np.zeros((self.width, len(bias)), np.float32), bias])
        return [dense]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "columns": self.columns}


@keras.saving.register_keras_serializable("learnd")
class AveragedNetwork(StreamLayer):
    """A small network and its running average: one pass gives what both say.

    The network has dense hidden layers and an output layer that sees the inputs too, with weights that start from 0;
    `first` of the inputs' weights start from 1, each for its own output: what the network says first is what these
    inputs say. Each weight has a running average, of which `keep` stays with each update.

    Input and output: (batch, inputs) to (batch, 2, outputs): the network, and the average. No gradient goes through the
    average.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        outputs: int,
        activation: str,
        keep: float = 0.997,
        first: int | None = None,
        **kwargs: Any,
    ) -> None:
        """`first` is the index of the first input whose weight starts from 1; None if there is none."""
        super().__init__(**kwargs)
        self.hidden, self.outputs, self.activation, self.keep, self.first = [*hidden], outputs, activation, keep, first
        self._activate = keras.activations.get(activation)

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.width = input_shape[-1]
        sizes = [self.width, *self.hidden, self.outputs]
        shapes: dict[str, tuple[int, ...]] = {}
        for number, (before, after) in enumerate(pairwise(sizes)):
            shapes |= {f"kernel_{number}": (before, after), f"bias_{number}": (after,)}
        shapes["linear"] = (self.width, self.outputs)
        self._weights_of = {name: self._weight(name, shape) for name, shape in shapes.items()}
        if self.first is not None:
            linear = np.zeros(shapes["linear"], np.float32)
            linear[self.first + np.arange(self.outputs), np.arange(self.outputs)] = 1
            self._weights_of["linear"].assign(linear)
        self._averages_of = {name: self._average(name, weight) for name, weight in self._weights_of.items()}
        self.updates = self.add_weight(
            name="updates", shape=(), initializer="zeros", trainable=False, dtype="float32", autocast=False
        )
        weights, averages = self._weights_of.values(), self._averages_of.values()
        self.running = RunningAverages([*weights], [*averages], self.updates, self.keep)

    def _weight(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(
            name=name, shape=shape, initializer="glorot_uniform" if name.startswith("kernel") else "zeros"
        )

    def _average(self, name: str, weight: Any) -> Any:
        average = self.add_weight(
            name=f"average_{name}", shape=weight.shape, initializer="zeros", trainable=False, autocast=False
        )
        average.assign(weight.value)
        return average

    def call(self, inputs: Any) -> Any:
        said = self._pass(inputs, self._weights_of)
        average = tf.stop_gradient(self._pass(inputs, self._averages_of))
        return tf.stack([said, average], axis=1)

    def _pass(self, inputs: Any, weights: dict[str, Any]) -> Any:
        found, last = inputs, len(self.hidden)
        for number in range(last):
            found = self._activate(tf.matmul(found, weights[f"kernel_{number}"]) + weights[f"bias_{number}"])
        found = tf.matmul(found, weights[f"kernel_{last}"]) + weights[f"bias_{last}"]
        return found + tf.matmul(inputs, weights["linear"])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], 2, self.outputs)

    def frozen(self) -> list[Any]:
        """Return a model of dense layers, for the network and for its average."""
        inputs = keras.Input((self.width,), name="inputs")
        said = [self._dense(inputs, weights) for weights in (self._weights_of, self._averages_of)]
        rows = [keras.layers.Reshape((1, self.outputs))(one) for one in said]
        return [keras.Model(inputs, keras.layers.Concatenate(axis=1)(rows), name=self.name)]

    def _dense(self, inputs: Any, weights: dict[str, Any]) -> Any:
        found, last = inputs, len(self.hidden)
        for number, units in enumerate(self.hidden):
            layer = keras.layers.Dense(units, self.activation)
            found = layer(found)
            layer.set_weights([weights[f"kernel_{number}"].numpy(), weights[f"bias_{number}"].numpy()])
        layer = keras.layers.Dense(self.outputs)
        outputs = layer(keras.layers.Concatenate()([found, inputs]))
        kernel = np.concatenate([weights[f"kernel_{last}"].numpy(), weights["linear"].numpy()])
        layer.set_weights([kernel, weights[f"bias_{last}"].numpy()])
        return outputs

    def get_config(self) -> dict[str, Any]:
        own = {
            "hidden": self.hidden,
            "outputs": self.outputs,
            "activation": self.activation,
            "keep": self.keep,
            "first": self.first,
        }
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("learnd")
class Mixture(StreamLayer):
    """The last layer of a mixture: the mean of what its members predict, each by its share.

    A member is a network, or its average. The last `lagged` of the networks see the last labels. In training these are
    known. Outside of it, the label right before a record is not: there the other members have the shares of these.
    With `mean`, for a label that is standardised, the first member always says 0, the mean of the labels: so that where
    nothing can be learnt from the columns, the mixture is hardly worse than the mean.

    Input: of each network (batch, 2, outputs). Output: (batch, outputs), as `link` makes it of each member: sigmoid,
    softmax or linear.
    """

    def __init__(self, networks: Sequence[str], link: str, lagged: int = 0, mean: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.networks, self.link, self.lagged, self.mean = [*networks], link, lagged, mean
        self.linked = keras.activations.get(link)

    def build(self, input_shape: Any) -> None:
        self.outputs = input_shape[0][-1]
        members = len(self.members)
        self.shares = self._kept("shares", (members,))
        self.shares.assign(np.full(members, 1 / members, np.float32))
        self.least = self._kept("least", (2,))

    def _kept(self, name: str, shape: tuple[int, ...]) -> Any:
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, autocast=False)

    def call(self, inputs: Sequence[Any], training: bool = False) -> Any:
        asked = inputs if training else inputs[: len(inputs) - self.lagged]
        said = self.with_mean(tf.concat(asked, axis=1))
        shares = self.shares.value[: said.shape[1]]
        if len(asked) < len(inputs):
            shares = shares / tf.reduce_sum(shares)
        return tf.reduce_sum(shares[:, tf.newaxis] * self.linked(said), axis=1)

    def with_mean(self, said: Any) -> Any:
        """Return what all members say (batch, members, outputs), given what the networks do."""
        return tf.concat([tf.zeros_like(said[:, :1]), said], axis=1) if self.mean else said

    @property
    def members(self) -> list[str]:
        """The names of the members, in the order of their shares."""
        of_networks = [name for network in self.networks for name in (network, f"{network}_average")]
        return ["mean", *of_networks] if self.mean else of_networks

    @property
    def alone(self) -> Any:
        """The shares of the members that see a record alone, which add up to 1, as an array."""
        shares = np.asarray(self.shares.value)[: len(self.members) - 2 * self.lagged]
        return shares / shares.sum()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], input_shape[0][-1])

    def frozen(self) -> list[Any]:
        """Return a model that takes what the networks say which see a record alone, and mixes it."""
        asked = self.networks[: len(self.networks) - self.lagged]
        inputs = [keras.Input((2, self.outputs), name=name) for name in asked]
        said = keras.layers.Concatenate(axis=1)(inputs) if len(inputs) > 1 else inputs[0]
        by_output = keras.layers.Permute((2, 1))(keras.layers.Activation(self.link)(said))
        mean = keras.layers.Dense(1, use_bias=False, name="shares")
        mixed = keras.layers.Reshape((self.outputs,))(mean(by_output))
        mean.set_weights([self.alone[int(self.mean) :, None]])  # the mean, which is 0, adds nothing
        return [keras.Model(inputs, mixed, name=self.name)]

    def get_config(self) -> dict[str, Any]:
        own = {"networks": self.networks, "link": self.link, "lagged": self.lagged, "mean": self.mean}
        return {**super().get_config(), **own}
