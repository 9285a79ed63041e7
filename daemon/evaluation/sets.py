"""Scores of the current weights on a set of samples that are never trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.evaluation.scoreboard import Scoreboard, observe
from learnd.daemon.values import Arrays, Float32, Task

Predict: TypeAlias = Callable[[Arrays], Arrays]

CHUNK = 256  # samples in a call of `predict`: one shape, so one compilation, and limited memory


def score_set(
    task: Task, outputs: Float32, labels: Float32, guesses: Mapping[str, NDArray[Any]], metrics: Iterable[str] | None
) -> Scoreboard:
    """Score predictions (m, C) against labels (m, O), and beside them constants: `guesses`, by name."""
    rows = observe(task, outputs, labels)
    for name, guess in guesses.items():
        rows[name] = np.broadcast_to(guess, (len(labels), *guess.shape))
    board = Scoreboard(task, guesses, metrics)
    board.add(rows, first=False)
    return board


def predict_all(predict: Predict, inputs: Arrays) -> Arrays:
    """Return the outputs (m, C) of each target for one sample or more.

    `predict` gets exactly `CHUNK` samples each time. The last chunk is filled up with its last sample, which is a valid
    input.
    """
    count = len(next(iter(inputs.values())))
    chunks = []
    for start in range(0, count, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), count - 1)
        outputs = predict({name: array[rows] for name, array in inputs.items()})
        chunks.append({name: array[: count - start] for name, array in outputs.items()})
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
