"""The compiled call: K exact updates, one after the other, with a prediction before each.

The loop has a trip count given at run time, so that one compiled shape serves any number of updates up to its
bucket, and the bits do not depend on how the updates were grouped into calls. An update whose loss, gradients or
layer statistics are not finite leaves every variable as it was.

Three things here are written for XLA on a processor, each measured at one sample an update:

- Sums of squares go through a dot product. XLA sums the elements of a vector one by one, which for the gradients
  of a small network takes as long as the whole update; its dot product is vectorised.
- The verdict is the result of a dot product too. XLA fuses a cheap scalar into every kernel that reads it, and
  would compute the verdict again for each element of each variable.
- A skipped update is a `where` for each variable, not a branch: XLA fuses it into the kernel that writes the variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.training.runtime import keras, tf

# What a layer does differently while training, it does by the `training` argument of its call. These only pass the
# argument on, or, like the standardisation, predict in training as they would have just after.
_SAME_WHILE_TRAINING = ("Functional", "Sequential", "Model", "RunningStandardization", "InputLayer")


def predicts_differently(model: Any) -> bool:
    """Whether the training pass of the model is not its prediction: Dropout, BatchNormalization, and their like."""
    return any(_differs(layer) for layer in model._flatten_layers(include_self=False))  # noqa: SLF001  (Keras has no other way)


def _differs(layer: Any) -> bool:
    if type(layer).__name__ in _SAME_WHILE_TRAINING:
        return False
    if isinstance(layer, keras.layers.BatchNormalization):
        return bool(layer.trainable)
    if isinstance(layer, keras.layers.Dropout):
        return bool(layer.rate > 0)
    return bool(getattr(layer, "_call_has_training_arg", False))


class Updates:
    """The compiled loop over the updates of a call, for one set of trainable variables."""

    def __init__(
        self,
        model: Any,
        loss: Any,
        optimizer: Any,
        metrics: Sequence[Any],
        *,
        outputs: int,
        clip_norm: float | None,
        xla: bool,
        signature: Sequence[Any] | None = None,
    ) -> None:
        """Gradients are scaled down to the global norm `clip_norm`.

        A `signature` of x, y, weight and updates leaves B open: compiled once, whatever sizes come in which order.
        """
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._metrics = list(metrics)
        self._outputs = outputs
        self._own_prediction = predicts_differently(model)
        self._as_probabilities = link(loss)
        self._clip_norm = clip_norm
        self.traces = 0
        self._function = tf.function(self._loop, jit_compile=xla, input_signature=signature)
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, x: Any, y: Any, weight: Any, updates: int) -> tuple[Any, Any]:
        """Run the first `updates` of (K, B, ...) samples: outputs (K, B, C), and (K, 3) of loss, norm and verdict."""
        run = self._of_shape(x, y, weight)
        outputs, figures = run(tf.constant(x), tf.constant(y), tf.constant(weight), tf.constant(updates))
        return outputs.numpy(), figures.numpy()

    def captured(self, x: Any, y: Any, weight: Any) -> list[Any]:
        """Return the handles of the variables that a call of these shapes reads or writes."""
        inputs = self._of_shape(x, y, weight).captured_inputs
        return [handle for handle in inputs if handle.dtype == tf.resource]

    def _of_shape(self, x: Any, y: Any, weight: Any) -> Any:
        """Return what runs calls of these shapes. To have TensorFlow find it anew takes 0.3 ms a call."""
        if x.shape not in self._compiled:
            self._compiled[x.shape] = self._function.get_concrete_function(x, y, weight, tf.constant(0))
        return self._compiled[x.shape]

    def _loop(self, x: Any, y: Any, weight: Any, updates: Any) -> tuple[Any, Any]:
        self.traces += 1
        size = x.shape[0]
        outputs = tf.TensorArray(tf.float32, size=size, element_shape=(x.shape[1], self._outputs))
        figures = tf.TensorArray(tf.float32, size=size, element_shape=(3,))

        def body(k: Any, outputs: Any, figures: Any) -> tuple[Any, Any, Any]:
            output, figure = self._update(x[k], y[k], weight[k])
            return k + 1, outputs.write(k, output), figures.write(k, figure)

        _, outputs, figures = tf.while_loop(
            lambda k, *_: k < updates, body, (tf.constant(0), outputs, figures), parallel_iterations=1
        )
        return self._as_probabilities(outputs.stack()), figures.stack()

    def _update(self, x: Any, y: Any, weight: Any) -> tuple[Any, Any]:
        before = [(variable, tf.identity(variable.value)) for variable in self._changing()]
        prediction = self._model(x, training=False) if self._own_prediction else None
        loss, gradients, output = self._gradients(x, y, weight)
        norm = tf.sqrt(tf.add_n([sum_of_squares(gradient) for gradient in gradients]))
        good = self._verdict(loss, norm)
        self._optimizer.apply(self._clipped(gradients, norm), self._model.trainable_variables)
        output = tf.cast(output if prediction is None else prediction, tf.float32)
        for metric in self._metrics:
            metric.update_state(y, self._as_probabilities(output), weight)
        for variable, value in before:
            variable.assign(tf.where(good, variable.value, value))
        return output, tf.stack([loss, norm, tf.cast(good, tf.float32)])

    def _changing(self) -> list[Any]:
        return [
            *self._model.trainable_variables,
            *[variable for variable in self._model.variables if not variable.trainable],
            *self._optimizer.variables,
            *[variable for metric in self._metrics for variable in metric.variables],
        ]

    def _gradients(self, x: Any, y: Any, weight: Any) -> tuple[Any, list[Any], Any]:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            output = self._model(x, training=True)
            losses = self._loss(y, output)
            loss = tf.reduce_sum(tf.cast(losses, tf.float32) * weight) / tf.cast(tf.shape(weight)[0], tf.float32)
            if self._model.losses:
                loss += tf.add_n([tf.cast(penalty, tf.float32) for penalty in self._model.losses])
        gradients = tape.gradient(loss, [variable.value for variable in variables], unconnected_gradients="zero")
        return loss, [tf.convert_to_tensor(gradient) for gradient in gradients], output

    def _verdict(self, loss: Any, norm: Any) -> Any:
        """Whether the update may change the variables. Statistics that the forward pass has written count too."""
        written = [
            tf.cast(tf.reduce_sum(variable.value * 0), tf.float32)
            for variable in self._model.variables
            if not variable.trainable and tf.as_dtype(variable.dtype).is_floating
        ]
        zeros = tf.stack([loss * 0, norm * 0, *written])  # what is not finite times 0 is not 0
        return tf.tensordot(zeros, tf.ones_like(zeros), 1) == 0

    def _clipped(self, gradients: list[Any], norm: Any) -> list[Any]:
        if self._clip_norm is None:
            return gradients
        scale = self._clip_norm / tf.maximum(norm, self._clip_norm)
        return [gradient * tf.cast(scale, gradient.dtype) for gradient in gradients]


def sum_of_squares(values: Any) -> Any:
    """Return the sum of squares of a tensor of any shape, through a dot product."""
    squares = tf.square(tf.cast(values, tf.float32))
    columns = values.shape[-1] if values.shape.rank else 1
    if values.shape.rank == 0:
        return squares
    rows = tf.reshape(squares, (-1, columns))
    return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones((columns,))))


def link(loss: Any) -> Any:
    """Return what turns the model's outputs into probabilities: nothing, unless the loss takes logits."""
    if not getattr(loss, "_fn_kwargs", {}).get("from_logits", False):
        return tf.identity
    return tf.nn.softmax if "Categorical" in type(loss).__name__ else tf.math.sigmoid
