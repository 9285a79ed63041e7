"""Scores of the current weights on a set of samples that are never trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.evaluation.scoreboard import Scoreboard, observe
from learnd.daemon.values import Float32, Task

Predict: TypeAlias = Callable[[NDArray[Any]], Float32]

CHUNK = 256  # samples in a call of `predict`: one shape, so one compilation, and limited memory


def score_set(
    task: Task,
    x: NDArray[Any],
    y: Float32,
    predict: Predict,
    guesses: Mapping[str, NDArray[Any]],
    metrics: Iterable[str] | None,
) -> Scoreboard:
    """Score the predictions for `x` (m, ...) against `y` (m, O), and beside them `guesses`: constants, by name."""
    rows = observe(task, predict_all(predict, x), y)
    for name, guess in guesses.items():
        rows[name] = np.broadcast_to(guess, (len(y), *guess.shape))
    board = Scoreboard(task, guesses, metrics)
    board.add(rows, first=False)
    return board


def predict_all(predict: Predict, x: NDArray[Any]) -> Float32:
    """Return the outputs (m, C) for one sample or more. `predict` gets exactly `CHUNK` samples each time.

    The last chunk is filled up with its last sample, which is a valid input.
    """
    outputs = []
    for start in range(0, len(x), CHUNK):
        chunk = x[start : start + CHUNK]
        padding = np.repeat(chunk[-1:], CHUNK - len(chunk), axis=0)
        outputs.append(predict(np.concatenate((chunk, padding)))[: len(chunk)])
    return np.concatenate(outputs)
