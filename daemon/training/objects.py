"""Keras optimizers, losses and metrics from settings: a name, `{name: arguments}`, or a Keras configuration."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from learnd.daemon.errors import SettingsError
from learnd.daemon.tasks.contract import TaskKind
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.compiled import metrics_of, optimizer_of, tell_left_out
from learnd.daemon.training.layers import RunningLabelScale
from learnd.daemon.training.phases import walk
from learnd.daemon.training.regenerative import RegenerativeRMSprop
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import KerasObject, PhaseSettings, TrainSettings
from learnd.daemon.values import TargetSpec, Task

_RATES = ("learning_rate", "initial_learning_rate", "end_learning_rate", "warmup_target")

_OF_DIFFERENCES = ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh")  # Keras' losses of output minus label


def create_optimizer(settings: TrainSettings, model: Any) -> Any:
    """Return a new optimizer: from the settings, from a compiled model, or the default. Raises SettingsError."""
    optimizer = _optimizer(settings, model)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        problem = "train.optimizer: a loss scale (mixed_float16) is not supported; use float32 or bfloat16 layers"
        raise SettingsError([f"{problem}. Nothing was trained."])
    if optimizer.use_ema:
        whose = "train.optimizer" if settings.optimizer is not None else "model: the optimizer it was compiled with"
        problem = f"{whose}: use_ema keeps an average of the weights, which neither scores nor exports would use"
        raise SettingsError(
            [f"{problem}. Nothing was trained. Leave use_ema out; a falling rate has a similar effect."]
        )
    return optimizer


def _optimizer(settings: TrainSettings, model: Any) -> Any:
    if settings.optimizer is not None:
        return _create("train.optimizer", settings.optimizer, keras.optimizers)
    if (own := optimizer_of(model)) is not None:
        return keras.optimizers.deserialize(keras.optimizers.serialize(own))
    return RegenerativeRMSprop()


def label_scale(model: Any) -> RunningLabelScale | None:
    """Return the layer with which a model scales its label; None if it has none."""
    return next((layer for _, layer in walk(model) if isinstance(layer, RunningLabelScale)), None)


def take_learning_rate(optimizer: Any) -> tuple[Any, Any]:
    """Return the optimizer with a plain variable as learning rate, and its own rate: a number or a Keras schedule."""
    config = optimizer.get_config()
    given = config["learning_rate"]
    if not isinstance(given, dict):
        return optimizer, float(given)
    plain = type(optimizer).from_config({**config, "learning_rate": 1.0})
    return plain, keras.optimizers.schedules.deserialize(given)


def create_learning_rate(number: int, phase: PhaseSettings, default: Any) -> Any:
    """Return the learning rate of a phase: a number, or a Keras schedule. Raises SettingsError."""
    given = phase.learning_rate
    if isinstance(given, dict):
        return _create(f"phases.{number}.learning_rate", given, keras.optimizers.schedules, _schedule)
    return default if given is None else float(given)


def _schedule(given: dict[str, Any]) -> Any:
    schedule = keras.optimizers.schedules.deserialize({"module": "keras.optimizers.schedules", **given})
    if not callable(schedule):
        raise TypeError("it is not one of keras.optimizers.schedules")
    return schedule


def take_global_clip_norm(optimizer: Any) -> float | None:
    """Take the optimizer's global clip norm away and return it: the step knows the norm already, and clips itself."""
    clip_norm = optimizer.global_clipnorm
    optimizer.global_clipnorm = None
    return None if clip_norm is None else float(clip_norm)


def create_loss(settings: TrainSettings, model: Any, target: TargetSpec, reduction: str | None) -> Any:
    """Return the loss of a target; without reduction, one value a sample. Raises SettingsError.

    It is that of the settings, which holds for every target, or of a compiled model, or of the task.
    """
    kind = KINDS[target.task.kind]
    loss = settings.loss if settings.loss is not None else getattr(model, "loss", None)
    if settings.loss is None and isinstance(loss, dict):
        loss = loss.get(target.name, loss)
    if loss is None:
        loss = kind.loss
    created = _create("train.loss", loss, keras.losses)
    if isinstance(created, keras.losses.CategoricalCrossentropy | keras.losses.CategoricalFocalCrossentropy):
        problem = f"train.loss: {created.name} takes one-hot labels, and learnd gives the index of a class"
        raise SettingsError([f"{problem}: use {kind.loss}. Nothing was trained."])
    if not isinstance(created, keras.losses.Loss):
        return created
    config = created.get_config()
    config["reduction"] = reduction
    return type(created).from_config(config)


def measures_differences(settings: TrainSettings, kind: TaskKind[Any]) -> bool:
    """Whether a preset's loss is of the difference between output and label alone, so that it may be taken in any unit.

    Raises SettingsError.
    """
    loss = _create("train.loss", kind.loss if settings.loss is None else settings.loss, keras.losses)
    name = type(loss).__name__ if isinstance(loss, keras.losses.Loss) else getattr(loss, "__name__", "")
    return kind.last_activation == "linear" and _class_of(name, keras.losses) in _OF_DIFFERENCES


class ScaledLoss(keras.losses.Loss):
    """A loss in standard deviations of the label, whatever its unit.

    The output is scaled as the layer scaled it; then the layer learns the labels, so that even the first ones are at
    most sqrt(n) deviations from the mean, where n is how many came.
    """

    def __init__(self, loss: Any, label_scale: RunningLabelScale, reduction: str | None) -> None:
        """`loss` gives one value a sample."""
        super().__init__(name=getattr(loss, "name", None), reduction=reduction)
        self._loss = loss
        self._label_scale = label_scale

    def call(self, y_true: Any, y_pred: Any) -> Any:
        outputs = self._label_scale.scaled(y_pred)
        self._label_scale.learn(y_true)
        return self._loss(self._label_scale.scaled(y_true), outputs)


def create_metrics(settings: TrainSettings, model: Any, targets: Sequence[TargetSpec]) -> list[Any]:
    """Return the metrics of the settings and of a compiled model, built, for the first target, which they measure.

    `accuracy` is that of the task, as in Keras' own `compile`. A metric of the model keeps its name, with `keras_` in
    front if a score of learnd has it. If it does not fit, it is left out and logged; one of the settings raises
    SettingsError.
    """
    task, rows = targets[0].task, settings.batch_size
    metrics = [_built(_metric(name, task), rows, task) for name in settings.metrics]
    for name, given in metrics_of(model, targets[0].name, len(targets)).items():
        try:
            metric = _metric(given, task)
            metric.name = f"keras_{name}" if name in KINDS[task.kind].metrics else name
            if metric.name not in [other.name for other in metrics]:
                metrics.append(_built(metric, rows, task))
        except SettingsError as error:
            tell_left_out(name, "\n".join(error.problems))
    return metrics


def _metric(given: Any, task: Task) -> Any:
    name = KINDS[task.kind].accuracy if given in ("accuracy", "acc") else given
    metric = _create("train.metrics", name, keras.metrics)
    return metric if isinstance(metric, keras.metrics.Metric) else keras.metrics.MeanMetricWrapper(metric)


def _built(metric: Any, rows: int, task: Task) -> Any:
    """Return the metric with all its variables: some are created by its first update, and a restore needs them."""
    try:
        metric.update_state(np.zeros((rows, task.label_columns)), np.zeros((rows, task.outputs)), np.ones(rows))
        several = np.ndim(metric.result()) > 0
    except Exception as error:
        problem = f"train.metrics: {metric.name} does not fit the task: {error}. Nothing was trained."
        raise SettingsError([problem]) from error
    if several:
        problem = f"train.metrics: {metric.name} gives several values, but a score is one. Give an average, say macro."
        raise SettingsError([problem])
    metric.reset_state()
    return metric


def _create(place: str, given: KerasObject | Any, module: Any, get: Callable[[Any], Any] | None = None) -> Any:
    value = copy.deepcopy(given)  # Keras writes the objects it makes into the configuration it is given
    try:
        if isinstance(value, str):
            return _instance(module.get(_class_of(value, module) or value))
        if isinstance(value, dict) and "class_name" not in value:
            ((name, arguments),) = value.items()
            value = {"class_name": _class_of(name, module) or name, "config": arguments or {}}
        _as_floats(value)
        return (get or module.get)(value)
    except Exception as error:
        verdict = "is rejected by Keras" if _is_known(given, module) else "is not known to Keras"
        problem = f"{place}: {given!r} {verdict}{_suggestion(given, module)}: {error}. Nothing was trained."
        raise SettingsError([problem]) from error


def _as_floats(value: Any) -> None:
    """Make whole numbers floats where Keras insists on it, or would compute in whole numbers: in rates."""
    for key, item in list(value.items()) if isinstance(value, dict) else ():
        if key in _RATES and type(item) is int:
            value[key] = float(item)
        elif key == "values" and isinstance(item, list):
            value[key] = [float(each) if type(each) is int else each for each in item]
        else:
            _as_floats(item)


def _instance(found: Any) -> Any:
    return found() if isinstance(found, type) else found


def _class_of(name: str, module: Any) -> str | None:
    """Return the Keras class called `name`, ignoring case and underscores: adam, binary_crossentropy."""
    wanted = name.replace("_", "").lower()
    if module is keras.optimizers and wanted == RegenerativeRMSprop.__name__.lower():
        return str(keras.saving.get_registered_name(RegenerativeRMSprop))
    return next((item for item in dir(module) if item[0].isupper() and item.lower() == wanted), None)


def _is_known(given: Any, module: Any) -> bool:
    """Whether Keras knows the name in the settings; if so, its arguments are wrong."""
    return _class_of(_name(given), module) is not None


def _name(given: Any) -> str:
    return given if isinstance(given, str) else str(next(iter(given), "")) if isinstance(given, dict) else ""


def _suggestion(given: Any, module: Any) -> str:
    if _is_known(given, module):
        return ""
    names = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", item).lower() for item in dir(module) if item[0].isupper()]
    close = difflib.get_close_matches(_name(given).lower(), names, 1)
    return f" (did you mean {close[0]}?)" if close else ""
