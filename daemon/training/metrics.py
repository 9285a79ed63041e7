"""Keras metrics of the settings and of a compiled model, which measure the first target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnd.daemon.errors import SettingsError
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.training.compiled import metrics_of, tell_left_out
from learnd.daemon.training.losses import of_rank, one_hot
from learnd.daemon.training.objects import create
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.values import SampleSpec, Task


@dataclass(frozen=True, slots=True)
class Measure:
    """A Keras metric."""

    keras: Any
    task: Task
    one_hot: bool  # whether it takes one-hot labels in place of the indices of classes

    @property
    def variables(self) -> list[Any]:
        return list(self.keras.variables)

    @property
    def name(self) -> str:
        return str(self.keras.name)

    def result(self) -> Any:
        return self.keras.result()

    def add(self, labels: Any, predicted: Any, weight: Any) -> None:
        """Count a batch: labels (B, ..., O), probabilities or values (B, ..., C), and the samples' weight (B,)."""
        labels = one_hot(labels, self.task) if self.one_hot else labels
        weight = of_rank(weight, len(self.task.output_shape)) if self.task.shape else weight
        self.keras.update_state(labels, predicted, weight)


def create_metrics(settings: TrainSettings, model: Any, spec: SampleSpec) -> list[Measure]:
    """Return the metrics, built.

    `accuracy` is that of the task, as in Keras' own `compile`. A metric of the model keeps its name, with `keras_` in
    front if a score of learnd has it. If it does not fit, it is left out and logged; one of the settings raises
    SettingsError.
    """
    target, rows = spec.targets[0], settings.batch_size
    metrics = [_built(_metric(name, target.task), rows, target.task) for name in settings.metrics]
    for name, given in metrics_of(model, target.name, len(spec.targets)).items():
        try:
            metric = _metric(given, target.task)
            metric.name = f"keras_{name}" if name in scoring_of(target.task).metrics else name
            if metric.name not in [other.name for other in metrics]:
                metrics.append(_built(metric, rows, target.task))
        except SettingsError as error:
            tell_left_out(name, "\n".join(error.problems))
    return metrics


def _metric(given: Any, task: Task) -> Any:
    name = KINDS[task.kind].accuracy if given in ("accuracy", "acc") else given
    metric = create("train.metrics", name, keras.metrics) if isinstance(name, str | dict) else name
    return metric if isinstance(metric, keras.metrics.Metric) else keras.metrics.MeanMetricWrapper(metric)


def _built(metric: Any, rows: int, task: Task) -> Measure:
    """Return the metric with all its variables: some are created by its first update, and a restore needs them."""
    measure = Measure(metric, task, one_hot=task.kind == "classes" and _takes_one_hot(metric))
    labels, outputs = np.zeros((rows, *task.label_shape), np.float32), np.zeros((rows, *task.output_shape), np.float32)
    try:
        measure.add(labels, outputs, np.ones(rows, np.float32))
        several = np.ndim(metric.result()) > 0
    except Exception as error:
        problem = f"train.metrics: {metric.name} does not fit the task: {error}. Nothing was trained."
        raise SettingsError([problem]) from error
    if several:
        problem = f"train.metrics: {metric.name} gives several values, but a score is one. Give an average, say macro."
        raise SettingsError([problem])
    metric.reset_state()
    return measure


def _takes_one_hot(metric: Any) -> bool:
    """Whether it is one of Keras' metrics that compare an output with a label for each class."""
    measures = getattr(metric, "_fn", None) or type(metric)
    of_keras = measures.__module__.startswith("keras.")
    return of_keras and "sparse" not in measures.__name__.lower() and not getattr(metric, "sparse_y_true", False)
