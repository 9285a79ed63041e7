"""The contract of a kind of task: everything that depends on what a label means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.tasks.baselines import PRIORS, Baseline
from learnd.daemon.tasks.known import Known
from learnd.daemon.tasks.label import Form, LabelSettings
from learnd.daemon.tasks.tallies import Tally
from learnd.daemon.values import Arrays, Float32, Float64, Task

Label = TypeVar("Label", bound=LabelSettings)


class Better(Enum):
    """Which values of a metric are the better ones."""

    HIGHER = auto()
    LOWER = auto()


class ErrorRange(Enum):
    """What the error of one prediction can be."""

    ZERO_OR_ONE = auto()
    UP_TO_ONE = auto()  # a share
    UNBOUNDED = auto()  # a distance, 0 or more; drift detectors get it scaled


class Scoring(ABC):
    """How predictions are scored. Shapes: m samples, C outputs of the model, O columns of the label; `...` are the axes
    of a label that is a tensor.
    """

    metrics: ClassVar[Mapping[str, Better]]
    """The metrics that are published, in this order. `kappa_temporal` follows from the accuracies of the model and of
    the baseline `no_change`; all others come from the tallies."""

    main_metrics: ClassVar[tuple[str, ...]]
    """What a model is judged by: the first of these metrics that is published and defined."""

    shown_metric: ClassVar[str]
    """The metric on the display."""

    error_range: ClassVar[ErrorRange]
    """What `errors` returns."""

    @abstractmethod
    def observe(self, outputs: Float32, labels: Float32) -> Arrays:
        """Return what the tallies count, as columns of m rows, of finite outputs (m, ..., C) and labels (m, ..., O).

        These are `label`, `predicted` and, if the outputs are probabilities, `probability`: what the model gave to the
        label.
        """

    def kept(self, rows: Arrays) -> Arrays:
        """Return what is kept of the columns of `observe`, and of those of the baselines, for tallies and windows.

        Of a tensor that is a few numbers, not each of its elements.
        """
        return rows

    def calibration(self, rows: Arrays) -> tuple[Float32, NDArray[np.bool_]] | None:  # noqa: ARG002
        """Return the probabilities (m,) whose calibration is scored, and whether what they are of came; None if none
        is. `rows` are the columns of `observe`.
        """
        return None

    def known(self, task: Task) -> Known | None:  # noqa: ARG002
        """Return what tells which classes came before a sample; None if all are known from the start."""
        return None

    @abstractmethod
    def tally(self, task: Task) -> Tally:
        """Return what counts the columns `predicted` and `label`, for the model and for each baseline."""

    def probability_tallies(self) -> dict[str, Tally]:
        """Return what counts the columns `probability` and `label`, by name; only the model has probabilities."""
        return {}

    @abstractmethod
    def baselines(self, task: Task) -> dict[str, Baseline]:
        """Return the baselines by name. `no_change` predicts the label before, the others predict a constant.

        `priors` predicts a probability, in the form of the column `probability`.
        """

    def baseline_tally(self, task: Task, baseline: str) -> Tally:
        """Return what counts the predictions of a baseline and the column `label`."""
        return self.probability_tallies()["log_loss"] if baseline == PRIORS else self.tally(task)

    @abstractmethod
    def errors(self, outputs: Float32, labels: Float32) -> Float64:
        """Return the error (m,) of each prediction (m, ..., C) for its label (m, ..., O), of a tensor the mean over its
        elements. If an output is not finite, the value is of no matter.
        """

    def losses(self, outputs: Float32, labels: Float32) -> Float64:
        """Return by what two models are compared: a loss (m,) of each prediction for its label, in the range of
        `errors`. For probabilities it is a proper one.
        """
        return self.errors(outputs, labels)


class TaskKind(Scoring, Generic[Label]):
    """What a kind of task means. Stateless: one instance of each kind is in the registry.

    To add a kind, write a module that ends with `KIND = MyKind()` and name the module in `registry.py`.
    """

    name: ClassVar[str]
    """The name in `model.task`, which is also the name of the module."""

    label_settings: type[Label]
    """The keys of `samples.label` that the kind reads. Those of all kinds together make up the section."""

    last_activation: ClassVar[str]
    """The activation of a preset's last layer, as Keras names it."""

    loss: ClassVar[str]
    """The loss unless `train.loss` or a compiled model gives one, as Keras names it."""

    accuracy: ClassVar[str]
    """The Keras metric that `accuracy` stands for in `train.metrics`."""

    of_elements: ClassVar[Scoring | None] = None
    """How labels are scored that are tensors, each element of which is a label of this kind; None if there are none."""

    def label_problems(self, label: Label) -> Iterator[str]:
        """Yield what is missing in the label's settings, as problems of the settings file."""
        if label.is_inputs:
            yield (
                f"samples.label.from: inputs are numbers for a model to give back, but the task is {self.name}; take "
                "the task regression, or name the field of the label"
            )
        elif label.field is None and not label.is_key:
            yield f"samples.label.field is missing: name the field that holds the label of the task {self.name}"

    @abstractmethod
    def task(self, label: Label) -> Task:
        """Return the task of a label that has no problems. Of inputs that are the label, it does not know the shape."""

    @abstractmethod
    def form(self, label: Label) -> Form:
        """Return what each of the label's fields holds; if it holds a tensor, what each element of it is."""
