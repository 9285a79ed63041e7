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


class SetScores:
    """Scores of samples of one target, taken in some at a time, beside those of what baselines predict now, by name."""

    def __init__(
        self,
        task: Task,
        constants: Mapping[str, Baseline],
        metrics: Iterable[str] | None,
        known: Known | None = None,
        naive: Iterable[str] = (),
    ) -> None:
        """`known` are the classes that have trained; None if all are known from the start. `naive` are the baselines
        whose predictions come with the samples.
        """
        self.task = task
        self.board = Scoreboard(task, [*constants, *naive], metrics)
        self._constants, self._known = constants, known

    def add(self, outputs: Float32, labels: Float32, naive: Arrays | None = None) -> Arrays:
        """Score predictions (m, ..., C), and `naive` ones by name, against labels (m, ..., O). Return what `observe`
        gives for them.
        """
        rows = observe(self.task, outputs, labels, None if self._known is None else self._known.stand(labels))
        guesses = {name: baseline.stand(rows["label"]) for name, baseline in self._constants.items()}
        self.board.add(scoring_of(self.task).kept({**rows, **guesses, **(naive or {})}), first=False)
        return rows


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
