"""The signals that detectors watch: arrays with a row for each sample of a call, or for each update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.tasks.scoring import errors
from learnd.daemon.values import Arrays, Call, Column, Float32, Float64, Report, SampleSpec

_MOST_COLUMNS = 256


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of a call: `m` samples in `updates` updates. Detectors ignore values that are not finite."""

    updates: int
    error: Float64  # (m,) in the `error_range` of the task's kind
    loss: Float64  # (updates,)
    features: Float32  # (m, columns)
    predictions: Float32  # (m, columns)
    labels: Float32  # (m, columns)

    @classmethod
    def of(cls, spec: SampleSpec, call: Call, report: Report) -> Signals:
        """Return the signals of a call that has run and has updates. The error is the mean over all targets."""
        outputs, labels, given = (
            call.in_a_row(report.outputs),
            call.in_a_row(call.batches.targets),
            given_with(spec, call),
        )
        wrong = [errors(target.task, outputs[target.name], labels[target.name]) for target in spec.targets]
        return cls(
            updates=call.updates,
            error=wrong[0] if len(wrong) == 1 else np.mean(wrong, axis=0),
            loss=report.loss.astype(np.float64),
            features=given["features"],
            predictions=_side_by_side(outputs),
            labels=given["labels"],
        )

    def table(self, signal: str) -> Float32:
        """Return the features, predictions or labels."""
        return {"features": self.features, "predictions": self.predictions, "labels": self.labels}[signal]


def given_with(spec: SampleSpec, call: Call) -> dict[str, Float32]:
    """Return the signals of `GIVEN`, (m, columns) each."""
    inputs, targets = call.in_a_row(call.batches.inputs), call.in_a_row(call.batches.targets)
    return {"features": spec.matrix(inputs), "labels": _side_by_side(targets)}


def _side_by_side(arrays: Arrays) -> NDArray[Any]:
    """Return all numbers of each sample side by side: (m, ...) gives (m, columns)."""
    found = [array.reshape(len(array), math.prod(array.shape[1:])) for array in arrays.values()]
    return found[0] if len(found) == 1 else np.concatenate(found, axis=1)


def chosen_columns(columns: Sequence[Column], wanted: tuple[str, ...]) -> list[int]:
    """Return the indices of the columns to watch: those of the wanted features, or all that do not tell the time.

    If these are many, evenly spaced ones.
    """
    if wanted:
        names = (column.name for column in columns)
        return [index for index, name in enumerate(names) if name in wanted or name.partition(".")[0] in wanted]
    return evenly_spaced([index for index, column in enumerate(columns) if not column.clock])


def evenly_spaced(columns: list[int]) -> list[int]:
    """Return the columns, or so many of them as can be watched."""
    return columns[:: -(-len(columns) // _MOST_COLUMNS) or 1]
