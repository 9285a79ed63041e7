"""How predictions of a task are scored, whatever it is."""

from __future__ import annotations

import numpy as np

from learnd.daemon.tasks.contract import Scoring
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Float32, Float64, Task


def scoring_of(task: Task) -> Scoring:
    """Return how predictions are scored: of labels that are tensors, by their elements."""
    kind = KINDS[task.kind]
    if not task.shape:
        return kind
    assert kind.of_elements is not None, "its settings take no shape"
    return kind.of_elements


def errors(task: Task, outputs: Float32, labels: Float32) -> Float64:
    """Return the error (m,) of predictions (m, ..., C) for labels (m, ..., O); NaN if a prediction is not finite."""
    wrong = scoring_of(task).errors(outputs, labels)
    finite = np.isfinite(outputs)
    return wrong if finite.all() else np.where(finite.all(axis=tuple(range(1, finite.ndim))), wrong, np.nan)
