"""Adaptive conformal prediction: a threshold that a given share of the scores stays under, whatever the stream does.

A score says how strange a label is, given its prediction. Each threshold is an order statistic of the latest scores.
Its level follows the misses, as in Gibbs, Candès, "Adaptive conformal inference under distribution shift" (2021), and
stays within one step of [0, 1]. So over 1,000 samples the share of misses is at most (1 + 2 * 0.04) / (0.04 * 1,000) =
0.027 from the one asked for. There are three exceptions: more is missed while each score is more than twice all that
came lately, or if more labels than that are such as nothing can hold, and less if scores cannot be above the least
threshold.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil, inf, isnan, nan

import numpy as np

from learnd.daemon.foundation.counters import Counters
from learnd.daemon.values import Float64

_WINDOW = 250  # scores
_STEP = 0.04  # measured: 0.01 leaves 0.87 to 0.93 where the stream turns, 0.05 makes intervals of heavy tails wider
_BEYOND = 2  # times the largest score of the window, if the level asks for more than that


class Conformal(Counters):
    """A threshold for each of O columns of scores of 0 or more."""

    def __init__(self, coverage: float, columns: int, least: float) -> None:
        """`least` is the threshold if even the least score of the window is too high."""
        self._miss, self._least = 1 - coverage, least
        levels = np.full(columns, self._miss)
        super().__init__(scores=np.full((columns, _WINDOW), nan), level=levels, usual=levels.copy())

    def follow(self, scores: Float64) -> Float64:
        """Return the threshold before each of the scores (m, O), and learn them.

        It is NaN before the first finite score. A score that is NaN is not learnt. One that is infinite is a miss of
        which no threshold can be made: it moves the level alone.
        """
        columns = [self._track(column, its) for column, its in enumerate(scores.T.tolist())]
        return np.array(columns, np.float64).reshape(len(columns), len(scores)).T

    def stand(self) -> Float64:
        """Return the threshold (O,) for samples whose labels do not come: at the mean of the latest levels.

        The level itself goes up and down with each miss, which evens out only where the next label is learnt.
        """
        levels = self.arrays["usual"].tolist()
        return np.array(
            [self._threshold(sorted(self._latest(column)), levels[column]) for column in range(len(levels))]
        )

    def _track(self, column: int, scores: list[float]) -> list[float]:
        latest = deque(self._latest(column))
        order, level = sorted(latest), float(self.arrays["level"][column])
        usual = float(self.arrays["usual"][column])
        thresholds = []
        for score in scores:
            threshold = self._threshold(order, level)
            thresholds.append(threshold)
            if isnan(score):
                continue
            if order:
                level = level + _STEP * (self._miss - (score > threshold))
                level = min(max(level, -_STEP), 1 + _STEP)
                usual += (level - usual) / _WINDOW
            if score == inf:
                continue
            insort(order, score)
            latest.append(score)
            if len(latest) > _WINDOW:
                del order[bisect_left(order, latest.popleft())]
        self.arrays["scores"][column, _WINDOW - len(latest) :] = latest
        self.arrays["level"][column], self.arrays["usual"][column] = level, usual
        return thresholds

    def _threshold(self, order: list[float], level: float) -> float:
        rank = ceil((len(order) + 1) * (1 - level))
        if rank < 1:
            return self._least
        if rank <= len(order):
            return order[rank - 1]
        return _BEYOND * order[-1] if order else nan

    def _latest(self, column: int) -> list[float]:
        """Return the latest scores, oldest first."""
        return [score for score in self.arrays["scores"][column].tolist() if not isnan(score)]
