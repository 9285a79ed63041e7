"""The compiled call: K exact updates, one after the other, with a prediction before each.

The loop's trip count is given at run time, so one compiled shape serves any number of updates up to its bucket, and the
bits do not depend on how updates are grouped into calls. If the loss, gradients or layer statistics of an update are
not finite, or the guard finds it far outside the usual range, every variable keeps its value.

Four things here are written for XLA on a CPU, each measured at one sample per update:

- Sums of squares are computed by a dot product. XLA sums the elements of a vector one by one, which for the gradients
  of a small network takes as long as the whole update. Its dot product is vectorised.
- The verdict is computed by a dot product too. XLA fuses a cheap scalar into every kernel that reads it, and would
  compute the verdict again for each element of each variable.
- A skipped update is a `where` for each variable, not a branch: XLA fuses it into the kernel that writes the variable.
- The learning rate of an update, like the guard's limits, is a variable written by the update before. Kernels read a
  value that the loop carries, but each of them may recompute a value that is computed inside the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from learnd.daemon.training.carried import carried_states
from learnd.daemon.training.memory.memory import Remembered
from learnd.daemon.training.phases import may_train
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.step.parts import Parts
from learnd.daemon.training.step.passes import predicts_differently
from learnd.daemon.values import Arrays, Float32, Samples, SampleSpec


class Results(NamedTuple):
    """The results of a call of K updates."""

    outputs: Arrays  # (K, B, ..., C) for each target
    figures: Float32  # (K, 3): loss, gradient norm, verdict
    before: list[tuple[Any, Any]]  # each variable that the call wrote, and its old value, to undo it


class Updates:
    """The compiled loop over the updates of a call, for one set of trainable variables."""

    def __init__(
        self,
        parts: Parts,
        times: Mapping[int, float],
        *,
        xla: bool,
        one_kernel: bool = False,
        rows: int | None = None,
    ) -> None:
        """Trace once for all K; XLA compiles when a K first runs.

        `times` are the factors for the steps of variables, by their ids. With `one_kernel`, XLA may compile the whole
        loop as one kernel. `rows` is B; None allows any B, so that no result depends on the order in which sizes come.
        """
        self._parts, self._spec = parts, parts.spec
        self._model, self._optimizing = parts.model, parts.optimizing
        self._metrics, self._guard, self._ensemble = parts.metrics, parts.guard, parts.ensemble
        self._averages, self._hedge = parts.averages, parts.hedge
        self._replay, self._head_start = parts.replay, parts.head_start
        self._kept = [variable for memory in parts.memories for variable in memory.variables]
        self._times = times
        self._keep_apart = xla and not one_kernel
        frozen = {id(weight) for weight in may_train(self._model)}
        self._statistics = [v for v in self._model.variables if not v.trainable and id(v) not in frozen]
        self._statistics += carried_states(self._model)
        behind = {id(variable) for variable in self._ensemble.variables} if self._ensemble is not None else set()
        self._passed = {id(variable) for variable in self._statistics} - behind  # what a forward pass may write
        self._own_prediction = self._ensemble is None and predicts_differently(parts)
        self._lengths: set[int] = set()  # of the calls that it was compiled for
        # To convert Python's conditions and loops, of which there are none here, takes half a second a start; those in
        # layers are never converted by Keras.
        signature = [
            tf.TensorSpec((None, rows, *array.shape), array.dtype) for array in _flat(parts.spec.zeros(), parts.spec)
        ]
        signature += [tf.TensorSpec((None, rows), tf.float32)] * (2 if parts.weighs_classes else 1)
        signature += [tf.TensorSpec((None,), tf.float32), tf.TensorSpec((), tf.int32)]
        self._function = tf.function(self._loop, input_signature=signature, jit_compile=xla, autograph=False)
        self._run = self._function.get_concrete_function()  # letting TensorFlow look it up takes 0.3 ms per call

    def __call__(self, batches: Samples, rates: Float32, updates: int, factors: Float32 | None = None) -> Results:
        """Run the first `updates` of (K, B, ...) samples.

        `rates` (K + 1,) are the learning rates of the updates, and of the one after them. `factors` (K, B) are those of
        the weights in the loss, if classes are weighed. The verdict of an update is 0
        if it was made; `guard.reasons_of` explains other values.
        """
        self._lengths.add(len(batches))
        weights = [batches.weight, *self._factors(batches, factors)]
        arguments = (*_flat(batches, self._spec), *weights, rates, updates)
        outputs, figures, before = self._run(*map(tf.constant, arguments))
        found = {name: output.numpy() for name, output in outputs.items()}
        return Results(found, figures.numpy(), list(zip(self._written(), before, strict=True)))

    def _factors(self, batches: Samples, given: Float32 | None) -> list[Float32]:
        if not self._parts.weighs_classes:
            return []
        return [np.ones_like(batches.weight) if given is None else given]

    @property
    def traces(self) -> int:
        """The number of call lengths that it was compiled for."""
        return len(self._lengths)

    @property
    def function(self) -> Any:
        """The traced call."""
        return self._run

    def _loop(self, *arguments: Any) -> tuple[dict[str, Any], Any, list[Any]]:
        *tensors, rates, updates = arguments
        before = [tf.identity(variable.value) for variable in self._written()]
        size, rows = tf.shape(tensors[0])[0], tensors[0].shape[1]
        outputs = {
            target.name: tf.TensorArray(tf.float32, size=size, element_shape=(rows, *target.task.output_shape))
            for target in self._spec.targets
        }
        figures = tf.TensorArray(tf.float32, size=size, element_shape=(3,))
        self._optimizing.rate.assign(rates[0])

        def body(k: Any, outputs: Any, figures: Any) -> tuple[Any, Any, Any]:
            found, figure = self._update(*self._named([tensor[k] for tensor in tensors]))
            self._optimizing.rate.assign(rates[k + 1])
            k = kept_apart(k) if self._keep_apart else k
            return k + 1, {name: outputs[name].write(k, found[name]) for name in outputs}, figures.write(k, figure)

        _, outputs, figures = tf.while_loop(
            lambda k, *_: k < updates, body, (tf.constant(0), outputs, figures), parallel_iterations=1
        )
        stacked = {name: array.stack() for name, array in outputs.items()}
        return self._parts.probabilities(stacked), figures.stack(), before

    def _named(self, tensors: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any], Any, Any]:
        """Return inputs and targets by name, the weight, and the weight in the loss, in the order of the arguments."""
        inputs = {part.name: tensor for part, tensor in zip(self._spec.inputs, tensors, strict=False)}
        rest = tensors[len(inputs) :]
        targets = {part.name: tensor for part, tensor in zip(self._spec.targets, rest, strict=False)}
        weight, *factors = rest[len(targets) :]
        return inputs, targets, weight, weight * factors[0] if factors else weight

    def _update(
        self, inputs: Mapping[str, Any], targets: Mapping[str, Any], weight: Any, weight_in_loss: Any
    ) -> tuple[dict[str, Any], Any]:
        before = [(variable, tf.identity(variable.value)) for variable in self._changing()]
        prediction = self._parts.predicted(inputs) if self._own_prediction else None
        average = self._parts.predicted(inputs, averaged=True) if self._hedge is not None else {}
        loss, gradients, outputs, lesson = self._gradients(inputs, targets, weight_in_loss)
        norm = tf.sqrt(tf.add_n([sum_of_squares(gradient) for gradient in gradients]))
        if (scale := self._optimizing.loss_scale) is not None:
            norm /= scale
        verdict = self._verdict(loss, norm, before)
        if self._guard is not None:
            self._guard.learn(loss, norm, tf.math.is_finite(verdict))
        self._optimizing.optimizer.apply(self._clipped(gradients, norm), self._model.trainable_variables)
        self._scale_steps(before)
        if self._ensemble is not None:
            self._ensemble.follow(lesson)
        if self._averages is not None:
            self._averages.follow()
        outputs = {name: tf.cast(output, tf.float32) for name, output in (prediction or outputs).items()}
        new = Remembered(inputs, targets, outputs, weight_in_loss)
        if self._hedge is not None:
            said, outputs = (outputs, average), self._hedge.mixed(outputs, average)
            self._hedge.follow(*said, targets=targets, weight=weight_in_loss)
        measured = self._spec.targets[0].name
        for metric in self._metrics:
            metric.add(targets[measured], self._parts.probabilities(outputs)[measured], weight)
        good = verdict == 0
        for variable, value in before:
            variable.assign(tf.where(good, variable.value, value))
        if self._replay is not None:
            self._replay.memory.keep(new, good)
        if self._head_start is not None:
            self._head_start.keep(new, good)
        return outputs, tf.stack([loss, norm, verdict])

    def _scale_steps(self, before: list[tuple[Any, Any]]) -> None:
        """Scale the steps of groups: each as a whole, which suits any optimizer."""
        for variable, value in before:
            if (times := self._times.get(id(variable))) is not None:
                variable.assign(value + times * (variable.value - value))

    def _written(self) -> list[Any]:
        """Return every variable that a call writes."""
        guard = [] if self._guard is None else self._guard.variables
        return [*self._changing(), *guard, *self._kept, *self._optimizing.written_when_skipped]

    def _changing(self) -> list[Any]:
        """Return what an update changes, and leaves as it was if it is skipped."""
        fixed = {id(variable) for variable in self._optimizing.kept_when_skipped}
        return [
            *self._model.trainable_variables,
            *self._statistics,
            *[variable for variable in self._optimizing.optimizer.variables if id(variable) not in fixed],
            *[variable for metric in self._metrics for variable in metric.variables],
            *([] if self._averages is None else self._averages.variables),
            *([] if self._hedge is None else self._hedge.variables),
        ]

    def _gradients(
        self, inputs: Mapping[str, Any], targets: Mapping[str, Any], weight: Any
    ) -> tuple[Any, list[Any], dict[str, Any], Any]:
        """Return the loss of the prediction, the gradients, the outputs, and the lesson of an ensemble.

        The gradients are those of the loss, unless an ensemble trains by another one, or samples of before train too.
        """
        variables, ensemble = self._model.trainable_variables, self._ensemble
        with tf.GradientTape() as tape:
            if ensemble is None:
                outputs, lesson = self._parts.outputs(inputs, training=True), None
                loss, of_targets = self._parts.loss(targets, outputs, weight)
                trained = loss
                if self._replay is not None:
                    new = Remembered(inputs, targets, outputs, weight)
                    trained = self._parts.total(self._replay.joined(self._parts, new, of_targets))
            else:
                outputs, said = ensemble.outputs(inputs)
                loss, _ = self._parts.loss(targets, outputs, weight)
                trained, lesson = ensemble.lesson(said, targets, weight)
            descended = self._optimizing.optimizer.scale_loss(trained)
        gradients = tape.gradient(descended, [variable.value for variable in variables], unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if ensemble is not None and self._head_start is not None:
            new = Remembered(inputs, targets, outputs, weight)
            more = self._head_start.gradients(ensemble, new, variables, self._optimizing.optimizer)
            gradients = [own + other for own, other in zip(gradients, more, strict=True)]
        return loss, gradients, outputs, lesson

    def _verdict(self, loss: Any, norm: Any, before: Sequence[tuple[Any, Any]]) -> Any:
        """Return 0 if the update may change the variables. Statistics that the forward pass wrote count too, but not
        what was infinite `before`: a constant mask is.
        """
        written = [
            tf.cast(
                tf.reduce_sum(tf.where(variable.value == value, tf.zeros_like(value), variable.value * 0)), tf.float32
            )
            for variable, value in before
            if id(variable) in self._passed and tf.as_dtype(variable.dtype).is_floating
        ]
        flags = [] if self._guard is None else self._guard.flags(loss, norm)
        parts = tf.stack([loss * 0, norm * 0, *written, *flags])  # a value that is not finite, times 0, is NaN
        return tf.tensordot(parts, tf.ones_like(parts), 1)

    def _clipped(self, gradients: list[Any], norm: Any) -> list[Any]:
        most = self._optimizing.clip_norm
        if most is None:
            return gradients
        scale = most / tf.maximum(norm, most)
        return [gradient * tf.cast(scale, gradient.dtype) for gradient in gradients]


def kept_apart(k: Any) -> Any:
    """Return k, through a sort that never runs: XLA does not compile a loop with a sort as one kernel."""
    return tf.cond(k < 0, lambda: tf.sort(tf.stack([k, k + 1]))[0], lambda: k)


def sum_of_squares(values: Any) -> Any:
    """Return the sum of squares of a tensor of any shape, through a dot product."""
    squares = tf.square(tf.cast(values, tf.float32))
    columns = values.shape[-1] if values.shape.rank else 1
    if values.shape.rank == 0:
        return squares
    rows = tf.reshape(squares, (-1, columns))
    return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones((columns,))))


def _flat(samples: Samples, spec: SampleSpec) -> list[Any]:
    """Return the inputs and targets of samples, the first arguments of the compiled call, in their order."""
    inputs = [samples.inputs[part.name] for part in spec.inputs]
    return [*inputs, *(samples.targets[part.name] for part in spec.targets)]
