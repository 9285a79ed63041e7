"""A number, or several: the model gives its estimate of each."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import PositiveInt

from learnd.daemon.tasks.baselines import Baseline, NoChange, RunningMean
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.label import Form, LabelSettings, Number, Vector
from learnd.daemon.tasks.tallies import ErrorSums, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task


class RegressionLabel(LabelSettings):
    """The keys of a label of numbers."""

    size: PositiveInt = 1
    """Of a regression: how many numbers the label has. More than one: the field holds a list."""


class Regression(TaskKind[RegressionLabel]):
    """A label of one number or more."""

    name = "regression"
    label_settings = RegressionLabel
    last_activation = "linear"
    loss = "mean_squared_error"
    accuracy = "binary_accuracy"  # as in Keras' own `compile` with one output
    metrics: ClassVar = {"mae": Better.LOWER, "rmse": Better.LOWER, "r2": Better.HIGHER}
    main_metrics = ("r2", "rmse", "mae")
    shown_metric = "rmse"
    error_range = ErrorRange.UNBOUNDED

    def task(self, label: RegressionLabel) -> Task:
        return Task(self.name, label.size, label.size)

    def form(self, label: RegressionLabel) -> Form:
        return Number() if label.size == 1 else Vector(label.size)

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        return {"label": labels, "predicted": outputs}

    def tally(self, task: Task) -> Tally:
        return ErrorSums(task.outputs)

    def baselines(self, task: Task) -> dict[str, Baseline]:
        return {"no_change": NoChange(np.zeros(task.outputs, np.float32)), "running_mean": RunningMean(task.outputs)}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        error: Float64 = np.abs(outputs - labels).mean(axis=1, dtype=np.float64)
        return error


KIND = Regression()
