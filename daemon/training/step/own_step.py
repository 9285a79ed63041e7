"""A model's own `train_step`: whether it has one, how it is made ready, and which variables it uses besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import structlog

from learnd.daemon.errors import ModelError
from learnd.daemon.training.phases import walk
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.training.step.parts import Parts, as_input, as_keras
from learnd.daemon.training.step.tracing import DOES_NOT_COMPILE, captured, handle_of, reason

log = structlog.get_logger()

_RUN = ("train_step", "compute_loss")  # what Keras calls for an update, and learnd too
_NOT_RUN = ("train_on_batch", "make_train_function")


def takes_own_step(train: TrainSettings, model: Any) -> bool:
    """Whether the model's `train_step` makes the updates: if the settings say so, or if it is not that of Keras.

    Raises ModelError if the model overrides what would not be called.
    """
    if unused := _overridden(model, _NOT_RUN):
        raise ModelError(
            f"model: it overrides {' and '.join(unused)}, which learnd does not call. Nothing was trained. Override "
            "train_step or compute_loss instead."
        )
    own = _overridden(model, _RUN)
    if own and train.step == "fused":
        raise ModelError(
            f"train.step: the model overrides {' and '.join(own)}, which step: fused would not call. Nothing was "
            "trained. Leave train.step out, or remove the method to train with the loss alone."
        )
    if own and train.step is None:
        log.info("own_step", methods=own, consequence="one update at a time, some hundred a second")
    return bool(own) or train.step == "train_on_batch"


def make_ready(parts: Parts, train: TrainSettings) -> list[Any]:
    """Compile the model for its `train_step`, and return the variables that this uses beside those of the parts.

    A compiled model stays as it is, but for the optimizer: learnd's has the same settings, and a rate that can be set.
    Optimizers and metrics create their variables when they are first traced, so this is done here.
    Raises ModelError if the model overrides `compile` with other arguments, or cannot be traced.
    """
    model = parts.model
    weighed = any(target.loss_weight != 1 for target in parts.spec.targets)
    named = train.optimizer is not None or train.loss is not None or weighed
    has_loss = getattr(model, "loss", None) is not None or _overridden(model, _RUN)
    if model.compiled and has_loss and not named:
        model.optimizer = parts.optimizing.optimizer
    else:
        _compile(parts)
    function = traced(parts, train.batch_size)
    used = {id(handle) for handle in captured(function)}
    known = {handle_of(variable) for variable in [*parts.kept().values(), *of_last_batch(model)]}
    found = {handle_of(variable): variable for variable in _held(model)}
    return [variable for handle, variable in found.items() if handle in used - known]


def traced(parts: Parts, rows: int | None) -> Any:
    """Return the model's `train_step`, traced for batches of `rows` samples; None allows any number.

    Raises ModelError if it cannot be traced, or gives no loss.
    """
    spec = parts.spec
    labels = parts.labels(spec.zeros(1).targets)
    given = as_input(spec.zeros(1).inputs), as_keras(labels), parts.weights(np.zeros(1, np.float32))
    data = tf.nest.map_structure(lambda array: tf.TensorSpec((rows, *array.shape[1:]), array.dtype), given)
    try:
        function = tf.function(parts.model.train_step, autograph=False).get_concrete_function(data)
    except DOES_NOT_COMPILE as error:
        raise ModelError(
            f"model: its train_step does not compile: {reason(error)}\n"
            "  Nothing was trained. Fix the model, or the loss if it is your own."
        ) from error
    given = function.structured_outputs
    if not isinstance(given, Mapping) or "loss" not in given:
        names = ", ".join(given) if isinstance(given, Mapping) and given else "nothing by name"
        raise ModelError(
            f"model: its train_step() returns {names}, but no loss, which the guard and the metrics need. Nothing was "
            "trained. Let it return {'loss': ...}."
        )
    return function


def of_last_batch(model: Any) -> list[Any]:
    """Return the variables of the model's metrics, which are reset before each update: no update depends on them."""
    return [variable for metric in model.metrics for variable in metric.variables]


def _overridden(model: Any, methods: tuple[str, ...]) -> list[str]:
    return [name for name in methods if getattr(model, name).__func__ is not getattr(keras.Model, name)]


def _compile(parts: Parts) -> None:
    losses, weights = as_keras({name: loss.keras for name, loss in parts.losses.items()}), _loss_weights(parts)
    try:
        parts.model.compile(optimizer=parts.optimizing.optimizer, loss=losses, jit_compile=False, **weights)
    except TypeError as error:
        raise ModelError(
            f"model: its compile() does not take optimizer, loss and jit_compile, as keras.Model's does: {error}. "
            "Nothing was trained. Let it take them and pass them on, or compile the model in the build function, and "
            "name no optimizer and no loss in the settings."
        ) from error


def _loss_weights(parts: Parts) -> dict[str, Any]:
    """Return the argument of `compile` that weighs the losses; none if each weighs 1: a user's may not take it."""
    weights = {name: loss.weight for name, loss in parts.losses.items()}
    return {"loss_weights": as_keras(weights)} if set(weights.values()) != {1} else {}


def _held(model: Any) -> Iterator[Any]:
    """Yield each variable that an attribute of the model or of a layer leads to, in the order of the attributes."""
    for _, layer in walk(model):
        for value in list(vars(layer).values()):
            yield from _variables_in(value)


def _variables_in(value: Any) -> Iterator[Any]:
    if isinstance(value, keras.Variable):
        yield value
    elif isinstance(value, keras.optimizers.Optimizer | keras.metrics.Metric):
        yield from value.variables
    elif isinstance(value, keras.random.SeedGenerator):
        yield value.state
    elif isinstance(value, Mapping):
        yield from _variables_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _variables_in(item)
