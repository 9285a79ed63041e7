"""One of several classes: the model gives a probability to each, and the label is the index of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from learnd.daemon.foundation.section import Section
from learnd.daemon.tasks.baselines import PRIORS, Baseline, ClassPriors, MajorityClass, NoChange
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.elements import ClassElements
from learnd.daemon.tasks.known import Known
from learnd.daemon.tasks.label import Form, Learnt, OneHot, OneOf, Scalar, TensorSettings, name_of
from learnd.daemon.tasks.probabilities import LogLoss, squares
from learnd.daemon.tasks.tallies import ClassCounts, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task

Count = Annotated[int, Field(ge=2, le=65_536)]


class LearntClasses(Section):
    """Classes that are not known beforehand."""

    max: Count
    """How many classes the model has room for. Each value becomes the next class when it first comes; one more than
    there is room for is rejected."""


class ClassesLabel(TensorSettings):
    """The keys of a label that is one of several classes."""

    classes: Count | Annotated[list[Scalar], Field(min_length=2)] | LearntClasses | None = None
    """Of classes: their values, in the order of their indices; or a count N, for the labels 0 to N-1; or `{max: N}`,
    for classes that are not known yet: they are numbered in the order in which they come."""

    one_hot: bool = False
    """Of classes: whether the field holds a list of a 0 or 1 for each class, exactly one of which is 1, in place of a
    class."""

    def values_of_classes(self) -> Sequence[Scalar]:
        """Return the value of each class, in the order of the indices; none if they are learnt."""
        if isinstance(self.classes, LearntClasses):
            return ()
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
        "ece": Better.LOWER,
        **dict.fromkeys(("macro_precision", "macro_recall", "macro_f1", "kappa", "kappa_temporal"), Better.HIGHER),
    }
    main_metrics = ("accuracy", "log_loss")
    shown_metric = "accuracy"
    error_range = ErrorRange.ZERO_OR_ONE
    of_elements = ClassElements()

    def label_problems(self, label: ClassesLabel) -> Iterator[str]:
        if label.classes is None:
            yield (
                "samples.label.classes is missing: model.task is classes, so list the classes, give their count, or "
                "room for as many as may come: {max: 20}"
            )
        if isinstance(label.classes, LearntClasses) and (label.shape or label.one_hot):
            key = "shape" if label.shape else "one_hot"
            yield f"samples.label.{key}: classes that are learnt are one word a record; list them, or give their count"
        if label.one_hot and label.is_key:
            yield "samples.label.one_hot: a key holds no list; name a field, or leave it out"
        yield from super().label_problems(label)

    def task(self, label: ClassesLabel) -> Task:
        if isinstance(label.classes, LearntClasses):
            return Task(self.name, label.classes.max, 1, learnt=True)
        names = tuple(map(name_of, label.values_of_classes()))
        return Task(self.name, len(names), 1, names, shape=label.shape)

    def form(self, label: ClassesLabel) -> Form:
        if isinstance(label.classes, LearntClasses):
            return Learnt(label.classes.max)
        return OneHot(label.values_of_classes()) if label.one_hot else OneOf(label.values_of_classes())

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        label = labels[:, 0].astype(np.int32)
        predicted = outputs.argmax(axis=1).astype(np.int32)
        each = np.arange(len(label))
        return {
            "label": label,
            "predicted": predicted,
            "probability": outputs[each, label],
            "confidence": np.clip(outputs[each, predicted], 0, 1),
        }

    def calibration(self, rows: Arrays) -> tuple[Float32, NDArray[np.bool_]]:
        return rows["confidence"], rows["predicted"] == rows["label"]

    def known(self, task: Task) -> Known | None:
        return Known() if task.learnt else None

    def tally(self, task: Task) -> Tally:
        return ClassCounts(task.outputs)

    def probability_tallies(self) -> dict[str, Tally]:
        return {"log_loss": LogLoss(of_truth=True)}

    def baselines(self, task: Task) -> dict[str, Baseline]:
        constants = {"majority": MajorityClass(task.outputs), PRIORS: ClassPriors(task.outputs, learnt=task.learnt)}
        return {"no_change": NoChange(np.zeros((), np.int32)), **constants}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        error: Float64 = (outputs.argmax(axis=1) != labels[:, 0]).astype(np.float64)
        return error

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        came = np.arange(outputs.shape[1]) == labels
        score: Float64 = np.minimum(squares(outputs, came.astype(np.float32)) * outputs.shape[1] / 2, 1)
        return score


KIND = Classes()
