"""Scores of the holdout or the anchor file that get no better: what early stopping and its kin wait for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.triggers import fall
from learnd.daemon.tasks.contract import Better
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.values import Event, SampleSpec, State

_STATE = ("best", "best_at", "waited")


@dataclass(frozen=True, slots=True)
class ComparedScore:
    """The score that a rule compares."""

    target: str | None  # None if there is only one
    metric: str
    better: Better

    @classmethod
    def of(cls, rule: Reaction, spec: SampleSpec) -> ComparedScore:
        """Return what a rule names, `METRIC` or `LABEL.METRIC`; the loss if it names nothing. Raises KeyError."""
        named, _, metric = (rule.metric or "").rpartition(".")
        targets = {target.name: target.task for target in spec.targets}
        scoring = scoring_of(targets[named or spec.targets[0].name])
        metric = metric or ("log_loss" if "log_loss" in scoring.metrics else scoring.main_metrics[0])
        return cls((named or spec.targets[0].name) if len(targets) > 1 else None, metric, scoring.metrics[metric])


class SetPlateau:
    """Gives an event for each score that is better than the best so far, and another one for `after` in a row that are
    not. A score that is not finite, or that cannot be told of these samples, is never better.
    """

    def __init__(self, rule: Reaction, index: int, compared: ComparedScore) -> None:
        self._rule, self._index, self._compared = rule, index, compared
        self._start_over()

    def _start_over(self) -> None:
        self._best, self._best_at, self._waited = None, 0, 0

    _best: float | None
    _best_at: int
    _waited: int

    def restart(self) -> None:
        """Wait for `after` scores from here on, as after a change of phase. The best so far stays."""
        self._waited = 0

    def went_back(self, samples: int) -> None:
        """Note that the model was rolled back to its state at `samples`: a later best score was of another one."""
        if self._best_at > samples:
            self._start_over()

    def scan(self, scores: Sequence[Event]) -> list[Event]:
        """Take in the scores that were published."""
        events = []
        for score in scores:
            of = score.data["set"], score.data.get("target")
            if of == (self._rule.of, self._compared.target):
                events += self._take_in(score.samples, score.data["metrics"].get(self._compared.metric, math.nan))
        return events

    def _take_in(self, samples: int, value: float) -> list[Event]:
        told = value if math.isfinite(value) else None
        data = {"rule": self._index, "set": self._rule.of, "metric": self._compared.metric, "score": told}
        if self._is_better(value):
            self._best, self._best_at, self._waited = value, samples, 0
            return [Event("score.best", samples, data)]
        self._waited += 1
        if self._waited < self._rule.in_a_row:
            return []
        self._waited = 0
        return [Event("score.plateau", samples, {**data, "best": self._best, "best_at": self._best_at})]

    def _is_better(self, value: float) -> bool:
        if self._best is None or not math.isfinite(value):
            return math.isfinite(value)
        return fall(self._compared.better, self._best, value) < -self._rule.by

    def state(self) -> State:
        return State(facts={key: getattr(self, f"_{key}") for key in _STATE})

    def restore(self, state: State) -> None:
        self._best, self._best_at, self._waited = (state.facts[key] for key in _STATE)
