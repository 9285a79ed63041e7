"""How predictions of a task are scored, whatever it is."""

from __future__ import annotations

import numpy as np

from learnd.daemon.tasks.contract import Better, Scoring
from learnd.daemon.tasks.known import among_known
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Float32, Float64, Int64, Task


def scoring_of(task: Task) -> Scoring:
    """Return how predictions are scored: of labels that are tensors, by their elements."""
    kind = KINDS[task.kind]
    if not task.shape:
        return kind
    assert kind.of_elements is not None, "its settings take no shape"
    return kind.of_elements


def compared_metrics(task: Task, *, weighs_classes: bool) -> dict[str, Better]:
    """Return the metrics in which a model is compared with the baselines.

    A model that weighs classes gives up accuracy and log loss for the rare ones. It is compared by kappa instead,
    which counts what is right beyond chance: nothing, for a constant.
    """
    kind = scoring_of(task)
    return {name: kind.metrics[name] for name in (("kappa",) if weighs_classes else kind.main_metrics)}


def errors(task: Task, outputs: Float32, labels: Float32) -> Float64:
    """Return the error (m,) of predictions (m, ..., C) for labels (m, ..., O); NaN if a prediction is not finite."""
    return _if_finite(outputs, scoring_of(task).errors(outputs, labels))


def losses(task: Task, outputs: Float32, labels: Float32, known: Int64 | None = None) -> Float64:
    """Return the loss (m,) by which models are compared, of predictions (m, ..., C) for labels (m, ..., O); NaN if a
    prediction is not finite. If classes are learnt, `known` (m,) is how many had trained: the others count for nothing.
    """
    given = outputs if known is None else among_known(outputs, known)
    return _if_finite(outputs, scoring_of(task).losses(given, labels))


def _if_finite(outputs: Float32, found: Float64) -> Float64:
    finite = np.isfinite(outputs)
    return found if finite.all() else np.where(finite.all(axis=tuple(range(1, finite.ndim))), found, np.nan)
