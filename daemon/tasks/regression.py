"""A number, or several: the model gives its estimate of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import PositiveInt

from learnd.daemon.tasks.baselines import Baseline, NoChange, RunningMean
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.elements import NumberElements
from learnd.daemon.tasks.label import FieldName, Form, Number, TensorSettings, Vector
from learnd.daemon.tasks.tallies import ErrorSums, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task


class RegressionLabel(TensorSettings):
    """The keys of a label of numbers."""

    size: PositiveInt = 1
    """Of a regression: how many quantities the label has. More than one: the field holds a list. Each has an R² of its
    own; of a tensor of like numbers give the `shape`."""

    input: FieldName | None = None
    """Of `from: inputs`: the name of the input, if there are several. Default: the only one."""


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
    of_elements = NumberElements()

    def label_problems(self, label: RegressionLabel) -> Iterator[str]:
        if label.shape and label.size > 1:
            yield "samples.label.size: the shape says how many numbers there are; leave one of them out"
        if not label.is_inputs:
            if label.input is not None:
                yield "samples.label.input: it names the input that is the label, which takes from: inputs"
            yield from super().label_problems(label)
        elif label.shape or label.size > 1:
            yield "samples.label.from: inputs have a shape; leave shape and size out"

    def task(self, label: RegressionLabel) -> Task:
        return Task(self.name, label.size, label.size, shape=label.shape)

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
