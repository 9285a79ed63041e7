"""Several labels at once, each yes or no: the model gives the probability of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from learnd.daemon.tasks.baselines import PRIORS, Baseline, LabelPriors, MajorityLabel, NoChange
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.label import Boolean, Form, LabelSettings, SomeOf
from learnd.daemon.tasks.probabilities import LogLoss, observe_yes_or_no, squares
from learnd.daemon.tasks.tallies import LabelCounts, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task


class SeveralLabels(LabelSettings):
    """The keys of several labels at once."""

    labels: Annotated[list[str], Field(min_length=1)] | None = None
    """Of several labels at once: their names. `field` holds a list of those that apply, or as many zeros and ones.
    Without `field`, each name is a field of its own, 0 or 1."""

    def fields(self) -> dict[str, str]:
        return super().fields() or dict.fromkeys(self.labels or (), "label.labels")


class MultiLabel(TaskKind[SeveralLabels]):
    """Several labels at once, each 0 or 1."""

    name = "multi_label"
    label_settings = SeveralLabels
    last_activation = "sigmoid"
    loss = "binary_crossentropy"
    accuracy = "binary_accuracy"
    metrics: ClassVar = {
        "accuracy": Better.HIGHER,
        "log_loss": Better.LOWER,
        "micro_f1": Better.HIGHER,
        "macro_f1": Better.HIGHER,
    }
    main_metrics = ("accuracy", "log_loss")
    shown_metric = "accuracy"
    error_range = ErrorRange.UP_TO_ONE

    def label_problems(self, label: SeveralLabels) -> Iterator[str]:
        if label.is_key:
            yield "samples.label.from: a key holds no list of labels; name a field, or leave it out"
        if label.labels is None:
            yield "samples.label.labels is missing: model.task is multi_label, so list the labels' names"

    def task(self, label: SeveralLabels) -> Task:
        names = tuple(label.labels or ())
        return Task(self.name, len(names), len(names), names)

    def form(self, label: SeveralLabels) -> Form:
        return Boolean() if label.field is None else SomeOf(label.labels or ())

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        return observe_yes_or_no(outputs, labels)

    def tally(self, task: Task) -> Tally:
        return LabelCounts(task.outputs)

    def probability_tallies(self) -> dict[str, Tally]:
        return {"log_loss": LogLoss(of_truth=False)}

    def baselines(self, task: Task) -> dict[str, Baseline]:
        shape = (task.outputs,)
        constants = {"majority": MajorityLabel(shape), PRIORS: LabelPriors(shape)}
        return {"no_change": NoChange(np.zeros(shape, np.bool_)), **constants}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        error: Float64 = ((outputs > 0.5) != (labels > 0.5)).mean(axis=1, dtype=np.float64)
        return error

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        return squares(outputs, labels)


KIND = MultiLabel()
