"""Events other than drift: skipped updates in a row, an error that no longer falls, a score that drops."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.tasks.contract import Better, Scoring
from learnd.daemon.values import Event, Facts, Float64, Int64, State

_SETS = ("holdout", "anchor")
_PLATEAU = ("sum", "known", "seen", "best", "waited")


class SkipsInARow:
    """Gives an event for skipped updates in a row: one per run, for each length that a rule asks for."""

    def __init__(self, kind: str, rules: Iterable[Reaction]) -> None:
        self._kind = kind
        self._lengths = {rule.in_a_row for rule in rules if rule.on == kind}
        self.run = 0

    def state(self) -> State:
        return State(facts={"run": self.run})

    def restore(self, state: State) -> None:
        self.run = state.facts["run"]

    def scan(self, skipped: NDArray[np.bool_], counts: Int64) -> list[Event]:
        """Take in updates; `counts` are the sample counts at each."""
        if not skipped.any():
            self.run = 0
            return []
        events = []
        for skip, count in zip(skipped.tolist(), counts.tolist(), strict=True):
            self.run = self.run + 1 if skip else 0
            if self.run in self._lengths:
                events.append(Event(self._kind, count, {"in_a_row": self.run}))
        return events


class Plateau:
    """Gives an event if the mean error of `after` windows in a row is not below the best so far."""

    def __init__(self, rule: Reaction, index: int) -> None:
        self._rule, self._index = rule, index
        self.restart()

    def restart(self) -> None:
        """Start over, as after a change of phase."""
        self._sum, self._known, self._seen, self._best, self._waited = 0.0, 0, 0, None, 0

    _sum: float
    _known: int
    _seen: int
    _best: float | None
    _waited: int

    def scan(self, errors: Float64, counts: Int64) -> list[Event]:
        """Take in errors, NaN for samples without one; `counts` are the sample counts at each."""
        events, start = [], 0
        while start < len(errors):
            taken = errors[start : start + self._rule.samples - self._seen]
            for error in taken[np.isfinite(taken)].tolist():  # one by one: the sum must not depend on the cut
                self._sum += error
                self._known += 1
            self._seen += len(taken)
            start += len(taken)
            if self._seen == self._rule.samples:
                events += self._window_full(int(counts[start - 1]))
        return events

    def _window_full(self, count: int) -> list[Event]:
        total, known = self._sum, self._known
        self._sum, self._known, self._seen = 0.0, 0, 0
        if not known:
            return []
        mean = total / known
        if self._best is None or mean < self._best * (1 - self._rule.by):
            self._best, self._waited = mean, 0
            return []
        self._waited += 1
        if self._waited < self._rule.in_a_row:
            return []
        self._waited = 0
        return [Event("score.plateau", count, {"rule": self._index, "error": mean, "best": self._best})]

    def state(self) -> State:
        return State(facts={key: getattr(self, f"_{key}") for key in _PLATEAU})

    def restore(self, state: State) -> None:
        self._sum, self._known, self._seen, self._best, self._waited = (state.facts[key] for key in _PLATEAU)


class Drop:
    """Gives an event if a score of the holdout or the anchor file falls by `margin` below the best since the last drop.

    If the model is rolled back because of it, the best score before the drop counts again.
    """

    def __init__(self, rule: Reaction, index: int, kind: Scoring) -> None:
        self._rule, self._index, self._kind = rule, index, kind
        self._best: dict[str, float] = {}
        self._lost: dict[str, tuple[int, float]] = {}  # the sample of the last drop, and the best before it

    def went_back(self, samples: int) -> None:
        """Expect the same scores again as at `samples`, the state that the model was rolled back to."""
        self._best |= {name: best for name, (at, best) in self._lost.items() if at > samples}
        self._lost.clear()

    def scan(self, scores: Sequence[Event]) -> list[Event]:
        """Take in the scores that were published."""
        events = []
        for score in scores:
            name = " ".join(filter(None, (score.data["set"], score.data.get("target"))))
            if score.data["set"] not in _SETS or (found := self._main_score(score.data["metrics"])) is None:
                continue
            metric, value, fell = *found, 0.0
            best = self._best.get(name)
            if not math.isfinite(value):
                if best is None:
                    continue
                fell = math.inf
            elif best is not None:
                fell = fall(self._kind.metrics[metric], best, value)
            if fell > self._rule.by:
                self._lost[name] = (score.samples, self._best.pop(name))
                data = {"rule": self._index, "set": name, "metric": metric, "score": value, "best": best}
                events.append(Event("score.drop", score.samples, data))
            elif best is None or fell < 0:
                self._best[name] = value
        return events

    def state(self) -> State:
        lost = {name: list(lost) for name, lost in self._lost.items()}
        return State(facts={"best": dict(self._best), "lost": lost})

    def restore(self, state: State) -> None:
        self._best = dict(state.facts["best"])
        self._lost = {name: (at, best) for name, (at, best) in state.facts["lost"].items()}

    def _main_score(self, metrics: Facts) -> tuple[str, float] | None:
        return next(((name, metrics[name]) for name in self._kind.main_metrics if name in metrics), None)


def fall(better: Better, best: float, value: float) -> float:
    """Return how far a score fell; if lower scores are better, its growth as a share of the best."""
    if better is Better.HIGHER:
        return best - value
    return value / best - 1 if best > 0 else float(value > 0)
