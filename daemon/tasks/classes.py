"""One of several classes: the model gives a probability to each, and the label is the index of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from learnd.daemon.tasks.baselines import PRIORS, Baseline, ClassPriors, MajorityClass, NoChange
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.label import Form, LabelSettings, OneOf, Scalar
from learnd.daemon.tasks.probabilities import LogLoss
from learnd.daemon.tasks.tallies import ClassCounts, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task


class ClassesLabel(LabelSettings):
    """The keys of a label that is one of several classes."""

    classes: Annotated[int, Field(ge=2, le=65_536)] | Annotated[list[Scalar], Field(min_length=2)] | None = None
    """Of classes: their values, in the order of their indices; or a count N, for the labels 0 to N-1."""

    def values_of_classes(self) -> Sequence[Scalar]:
        """Return the value of each class, in the order of the indices."""
        return range(self.classes) if isinstance(self.classes, int) else self.classes or ()


class Classes(TaskKind[ClassesLabel]):
    """A label that is one of several classes."""

    name = "classes"
    label_settings = ClassesLabel
    last_activation = "softmax"
    loss = "sparse_categorical_crossentropy"
    accuracy = "sparse_categorical_accuracy"
    metrics: ClassVar = {
        "accuracy": Better.HIGHER,
        "log_loss": Better.LOWER,
        **dict.fromkeys(("macro_precision", "macro_recall", "macro_f1", "kappa", "kappa_temporal"), Better.HIGHER),
    }
    main_metrics = ("accuracy", "log_loss")
    shown_metric = "accuracy"
    error_range = ErrorRange.ZERO_OR_ONE

    def label_problems(self, label: ClassesLabel) -> Iterator[str]:
        if label.classes is None:
            yield "samples.label.classes is missing: model.task is classes, so list the classes or give their count"
        yield from super().label_problems(label)

    def task(self, label: ClassesLabel) -> Task:
        names = tuple(map(str, label.values_of_classes()))
        return Task(self.name, len(names), 1, names)

    def form(self, label: ClassesLabel) -> Form:
        return OneOf(label.values_of_classes())

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        label = labels[:, 0].astype(np.int32)
        predicted = outputs.argmax(axis=1).astype(np.int32)
        return {"label": label, "predicted": predicted, "probability": outputs[np.arange(len(label)), label]}

    def tally(self, task: Task) -> Tally:
        return ClassCounts(task.outputs)

    def probability_tallies(self) -> dict[str, Tally]:
        return {"log_loss": LogLoss(of_truth=True)}

    def baselines(self, task: Task) -> dict[str, Baseline]:
        constants = {"majority": MajorityClass(task.outputs), PRIORS: ClassPriors(task.outputs)}
        return {"no_change": NoChange(np.zeros((), np.int32)), **constants}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        error: Float64 = (outputs.argmax(axis=1) != labels[:, 0]).astype(np.float64)
        return error


KIND = Classes()
