"""Yes or no: the model gives the probability of yes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from learnd.daemon.tasks.baselines import PRIORS, Baseline, LabelPriors, MajorityLabel, NoChange
from learnd.daemon.tasks.contract import Better, ErrorRange, TaskKind
from learnd.daemon.tasks.elements import BinaryElements
from learnd.daemon.tasks.label import Against, Boolean, Form, OneOf, Scalar, TensorSettings, name_of
from learnd.daemon.tasks.probabilities import Auc, LogLoss, observe_yes_or_no, squares
from learnd.daemon.tasks.tallies import BinaryCounts, Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task


class BinaryLabel(TensorSettings):
    """The keys of a label with two values."""

    values: Annotated[list[Scalar], Field(min_length=2, max_length=2)] | None = None
    """Of a binary task: the negative and the positive value. Default: 0 and 1, false and true, or words for them."""

    positive: Scalar | None = None
    """Of a binary task, instead of `values`: the value that counts as 1. All others count as 0."""


class Binary(TaskKind[BinaryLabel]):
    """A label of two values, 0 and 1."""

    name = "binary"
    label_settings = BinaryLabel
    last_activation = "sigmoid"
    loss = "binary_crossentropy"
    accuracy = "binary_accuracy"
    metrics: ClassVar = {
        "accuracy": Better.HIGHER,
        "log_loss": Better.LOWER,
        "ece": Better.LOWER,
        **dict.fromkeys(("auc", "precision", "recall", "f1", "kappa", "kappa_temporal"), Better.HIGHER),
    }
    main_metrics = ("accuracy", "log_loss")
    shown_metric = "accuracy"
    error_range = ErrorRange.ZERO_OR_ONE
    of_elements = BinaryElements()

    def label_problems(self, label: BinaryLabel) -> Iterator[str]:
        if label.positive is not None and label.values is not None:
            yield "samples.label.positive: values says it too, by its order: negative, positive; leave one of them out"
        yield from super().label_problems(label)

    def task(self, label: BinaryLabel) -> Task:
        names = tuple(map(name_of, label.values or (0, 1)))
        if label.positive is not None:
            names = f"not {name_of(label.positive)}", name_of(label.positive)
        return Task(self.name, 1, 1, names, shape=label.shape)

    def form(self, label: BinaryLabel) -> Form:
        if label.positive is not None:
            return Against(label.positive)
        return Boolean() if label.values is None else OneOf(label.values)

    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        return observe_yes_or_no(outputs[:, 0], labels[:, 0])

    def calibration(self, rows: Arrays) -> tuple[Float32, NDArray[np.bool_]]:
        return rows["probability"], rows["label"]

    def tally(self, task: Task) -> Tally:  # noqa: ARG002
        return BinaryCounts()

    def probability_tallies(self) -> dict[str, Tally]:
        return {"log_loss": LogLoss(of_truth=False), "auc": Auc()}

    def baselines(self, task: Task) -> dict[str, Baseline]:  # noqa: ARG002
        constants = {"majority": MajorityLabel(()), PRIORS: LabelPriors(())}
        return {"no_change": NoChange(np.zeros((), np.bool_)), **constants}

    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        error: Float64 = ((outputs[:, 0] > 0.5) != (labels[:, 0] > 0.5)).astype(np.float64)
        return error

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        return squares(outputs, labels)


KIND = Binary()
