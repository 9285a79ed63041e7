"""What a contestant has made of the samples of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.bench.recorded import Recorded
from learnd.daemon.evaluation.scoreboard import observe
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.scoring import losses
from learnd.daemon.values import Arrays, Float32, Float64


@dataclass(frozen=True, slots=True)
class Ran:
    """What a contestant has made of m samples."""

    predicted: NDArray[Any]
    """(m, ...) in the form of the column `predicted` of `TaskKind.observe`, each made before its sample was learnt."""
    scored: NDArray[np.bool_]
    """(m,) whether the prediction is one: finite, and of something."""
    timed: int = 0
    """How many samples took `seconds`."""
    seconds: float = 0.0
    start_seconds: float | None = None
    """What it took to build and compile it; None if that is nothing worth measuring."""
    probability: NDArray[Any] | None = None
    """(m, ...) in the form of the column of that name; None if it predicts no probabilities."""
    squares: Float64 | None = None
    """(m,) the Brier score of each prediction, from 0 to 1, with the probabilities."""
    served_otherwise: tuple[str, str] | None = None
    """How it predicts otherwise outside of the stream, and the way out, as a `Learner` says it."""
    left_out: tuple[str, ...] = ()
    """What of its settings it ran without."""

    @property
    def samples_per_second(self) -> float | None:
        return self.timed / self.seconds if self.timed and self.seconds else None


class Observed:
    """Takes in what a model gives for one sample after the other, each before it learns the sample.

    Samples behind those of the recording count for nothing.
    """

    def __init__(self, recorded: Recorded) -> None:
        self._task, self._most = recorded.task, len(recorded)
        self._kind = KINDS[self._task.kind]
        self._known = self._kind.known(self._task)
        self._rows: list[Arrays] = []

    def add(self, outputs: Float32, labels: Float32) -> None:
        """Take in outputs (m, C), and the labels (m, O) that came."""
        known = None if self._known is None else self._known.follow(labels[:, 0])
        rows = observe(self._task, outputs, labels, known)
        if "probability" in rows:
            rows["squares"] = losses(self._task, outputs, labels, known)
        self._rows.append(rows)

    @property
    def labels(self) -> NDArray[Any]:
        """The labels (m, ...) as tallies count them."""
        return self._column("label")

    def ran(self, timed: int = 0, seconds: float = 0.0, start_seconds: float | None = None) -> Ran:
        """Return what it comes to, with what it took."""
        says = "probability" in self._rows[0]
        return Ran(
            self._column("predicted"),
            self._column("scored"),
            timed,
            seconds,
            start_seconds,
            probability=self._column("probability") if says else None,
            squares=self._column("squares") if says else None,
        )

    def _column(self, name: str) -> NDArray[Any]:
        return np.concatenate([rows[name] for rows in self._rows])[: self._most]
