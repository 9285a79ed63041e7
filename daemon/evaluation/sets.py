"""Scores of the current weights on a set of samples that are never trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from learnd.daemon.evaluation.scoreboard import Scoreboard, observe
from learnd.daemon.tasks.baselines import Baseline
from learnd.daemon.tasks.known import Known
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.values import Arrays, Float32, Task

Predict: TypeAlias = Callable[[Arrays], Arrays]

CHUNK = 256  # samples per call of `predict`: one shape means one compilation, and limited memory


def score_set(
    task: Task,
    outputs: Float32,
    labels: Float32,
    constants: Mapping[str, Baseline],
    metrics: Iterable[str] | None,
    known: Known | None = None,
) -> Scoreboard:
    """Score predictions (m, ..., C) against labels (m, ..., O), and what baselines predict now, by name.

    `known` are the classes that have trained; None if all are known from the start.
    """
    rows = observe(task, outputs, labels, None if known is None else known.stand(labels))
    for name, baseline in constants.items():
        rows[name] = baseline.stand(rows["label"])
    board = Scoreboard(task, constants, metrics)
    board.add(scoring_of(task).kept(rows), first=False)
    return board


def predict_all(predict: Predict, inputs: Arrays) -> Arrays:
    """Return the outputs (m, ..., C) of each target for m >= 1 samples. `predict` always gets exactly `CHUNK` samples.

    The last chunk is padded with its last sample, which is a valid input.
    """
    count = len(next(iter(inputs.values())))
    chunks = []
    for start in range(0, count, CHUNK):
        rows = np.minimum(np.arange(start, start + CHUNK), count - 1)
        outputs = predict({name: array[rows] for name, array in inputs.items()})
        chunks.append({name: array[: count - start] for name, array in outputs.items()})
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
