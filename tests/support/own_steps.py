"""Models with a `train_step` or `compute_loss` of their own."""

from typing import Any

import keras
import tensorflow as tf


class Half(keras.Sequential):  # type: ignore[misc]  # keras is untyped
    """Trains half of the squared error, by gradient descent of its own."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, _ = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y)) / 2
        for variable, gradient in zip(
            self.trainable_variables, tape.gradient(loss, self.trainable_variables), strict=True
        ):
            variable.assign_sub(0.5 * gradient)
        return {"loss": loss}


class Constant(keras.Sequential):  # type: ignore[misc]
    """Its loss does not depend on anything."""

    def compute_loss(self, *_: Any, **__: Any) -> Any:
        return 7 + 0 * tf.add_n([tf.reduce_sum(variable.value) for variable in self.trainable_variables])


class OnBatch(keras.Sequential):  # type: ignore[misc]
    """Overrides what learnd does not call."""

    def train_on_batch(self, *_: Any, **__: Any) -> Any:
        return {"loss": 0.0}


class Two(keras.Sequential):  # type: ignore[misc]
    """The last layer has an optimizer of its own."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, weight = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weight)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients[:2], self.trainable_variables[:2])
        self.second.apply(gradients[2:], self.trainable_variables[2:])
        return {"loss": loss}


class CompiledWithTwo(Two):
    """Takes both optimizers when it is compiled."""

    def compile(self, first: Any, second: Any) -> None:
        super().compile(optimizer=first, loss="binary_crossentropy")
        self.second = second


class Memory(keras.Sequential):  # type: ignore[misc]
    """Scales its loss by the mean of the losses before, which is in no list of metrics."""

    @property
    def metrics(self) -> list[Any]:
        return []

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y, _ = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y)) / (1 + self.mean.result())
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.mean.update_state(loss)
        return {"loss": loss}


class Stray(keras.Sequential):  # type: ignore[misc]
    """Counts in a variable that nobody can find."""

    def train_step(self, data: Any) -> dict[str, Any]:
        _COUNT.assign_add(1.0 + 0 * _COUNT)
        return {"loss": tf.reduce_mean(self(data[0]))}


class Drawing(keras.Sequential):  # type: ignore[misc]
    """Draws from a generator that keeps its state to itself."""

    def train_step(self, data: Any) -> dict[str, Any]:
        return {"loss": tf.reduce_mean(self(data[0])) * tf.random.uniform(())}


class WithoutLoss(keras.Sequential):  # type: ignore[misc]
    """Does not tell its loss."""

    def train_step(self, data: Any) -> dict[str, Any]:
        return {"error": tf.reduce_mean(self(data[0]))}


class Broken(keras.Sequential):  # type: ignore[misc]
    """Raises an error."""

    def train_step(self, _data: Any) -> dict[str, Any]:
        raise ValueError("there is no such thing")


_COUNT = tf.Variable(0.0, name="stray")


def half(spec: Any) -> Any:
    return _of(Half, spec)


def constant(spec: Any) -> Any:
    return _of(Constant, spec)


def on_batch(spec: Any) -> Any:
    return _of(OnBatch, spec)


def two_optimizers(spec: Any) -> Any:
    model = _of(Two, spec, hidden=3)
    model.second = keras.optimizers.Adam(0.01, name="second")
    return model


def compiled_with_two(spec: Any) -> Any:
    model = _of(CompiledWithTwo, spec, hidden=3)
    model.compile(keras.optimizers.Adam(0.02), keras.optimizers.Adam(0.01, name="second"))
    return model


def memory(spec: Any) -> Any:
    model = _of(Memory, spec)
    model.mean = keras.metrics.Mean()
    return model


def stray(spec: Any) -> Any:
    return _of(Stray, spec)


def drawing(spec: Any) -> Any:
    return _of(Drawing, spec)


def without_loss(spec: Any) -> Any:
    return _of(WithoutLoss, spec)


def broken(spec: Any) -> Any:
    return _of(Broken, spec)


def _of(kind: Any, spec: Any, hidden: int | None = None) -> Any:
    layers = [] if hidden is None else [keras.layers.Dense(hidden, activation="tanh")]
    return kind([keras.Input((spec.width,)), *layers, keras.layers.Dense(1, activation="sigmoid")])
