"""Looks at the updates of calls for all that a rule may be on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from learnd.daemon.drift.signals import Signals
from learnd.daemon.drift.watch import Drift
from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.reactions.ledger import Ledger
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.triggers import Drop, Plateau, SkipsInARow
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Arrays, Call, Event, Facts, Float64, Report, Skip, Task


class Watching:
    """Finds drifts, plateaus, drops and skips in a row. What is found depends on no cut of the stream into calls."""

    def __init__(self, rules: Sequence[Reaction], drift: Drift, task: Task) -> None:
        self._drift = drift
        self._task = task
        self._skips = [SkipsInARow("update.non_finite", rules), SkipsInARow("loss.spike", rules)]
        self._plateaus = [Plateau(rule, index) for index, rule in enumerate(rules) if rule.on == "score.plateau"]
        self._drops = [
            Drop(rule, index, KINDS[task.kind]) for index, rule in enumerate(rules) if rule.on == "score.drop"
        ]
        self._looked = np.zeros(2)  # sum and count of the errors since they were last asked for
        self.ledger = Ledger()
        self.samples = 0

    def watch(
        self, call: Call, report: Report, begins: Sequence[int], halts: Callable[[Event], bool] | None
    ) -> tuple[int, list[Event]]:
        """Look at the updates of a call, up to the first one behind which an event `halts`, if there is one.

        `begins` are the counts of samples behind which phases began. Return how many updates were looked at, and what
        was found in them.
        """
        if not call.updates:
            return 0, []
        signals, rows = Signals.of(self._task, call, report), int(call.x.shape[1])
        before = self._triggers() if halts is not None and call.updates > 1 else None
        found, updates = self._scan(signals, report, begins, call.updates, rows), call.updates
        if halts is not None:
            updates = next((-(-(event.samples - self.samples) // rows) for event in found if halts(event)), updates)
        if updates < call.updates:
            assert before is not None, "only one update may be looked at, and it is the last one"
            self._look_again(before)
            found = self._scan(signals, report, begins, updates, rows)
        self.samples += updates * rows
        return updates, found

    def watch_scores(self, scores: Sequence[Event]) -> list[Event]:
        """Return the drops in the scores that were published."""
        return [event for drop in self._drops for event in drop.scan(scores)]

    def went_back(self, samples: int) -> None:
        """The model is that of `samples` again."""
        self.begin_phase()
        for drop in self._drops:
            drop.went_back(samples)

    def begin_phase(self) -> None:
        """Wait anew for a plateau."""
        for plateau in self._plateaus:
            plateau.restart()

    def take_mean_error(self) -> float | None:
        """Return the mean error since this was last asked; None without any."""
        (total, count), self._looked = self._looked, np.zeros(2)
        return float(total / count) if count else None

    def state(self) -> tuple[Arrays, Facts]:
        ledger, ledger_facts = self.ledger.state()
        arrays: Arrays = {"looked": self._looked.copy(), **{f"ledger.{name}": held for name, held in ledger.items()}}
        facts: Facts = {
            "samples": self.samples,
            "skips": [skips.run for skips in self._skips],
            "plateaus": [plateau.facts() for plateau in self._plateaus],
            "drops": [drop.facts() for drop in self._drops],
            "ledger": ledger_facts,
        }
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts, *, same_rules: bool) -> None:
        """Go on from `state`; what belongs to single rules, only where these are the same."""
        self.samples = facts["samples"]
        self._looked = np.array(arrays["looked"])
        self.ledger.restore({"errors": arrays["ledger.errors"]}, facts["ledger"])
        if not same_rules:
            return
        for skips, run in zip(self._skips, facts["skips"], strict=True):
            skips.run = run
        for plateau, its_facts in zip(self._plateaus, facts["plateaus"], strict=True):
            plateau.restore(its_facts)
        for drop, its_facts in zip(self._drops, facts["drops"], strict=True):
            drop.restore(its_facts)

    def _scan(self, signals: Signals, report: Report, begins: Sequence[int], updates: int, rows: int) -> list[Event]:
        """Look at so many updates, from the first on."""
        errors = signals.error[: updates * rows]
        counts = self.samples + np.arange(1, len(errors) + 1)
        found = self._drift.scan(signals, slice(0, updates), self.samples)
        skipped = report.skipped[:updates]
        if self._skips[0].run or self._skips[1].run or skipped.any():
            for skips, mine in zip(self._skips, (skipped == Skip.NON_FINITE, skipped > Skip.NON_FINITE), strict=True):
                found += skips.scan(mine, counts[rows - 1 :: rows])
        found += self._scan_plateaus(errors, counts, [begin - self.samples for begin in begins])
        found += self.ledger.add(errors, self.samples)
        known = errors[np.isfinite(errors)]
        self._looked = np.array([running_sum(self._looked[0], known)[-1], self._looked[1] + len(known)])
        return sorted(found, key=lambda event: event.samples)

    def _scan_plateaus(self, errors: Float64, counts: Any, begins: Sequence[int]) -> list[Event]:
        """Look at the errors; each phase that begins behind so many of them waits anew."""
        found = []
        cuts = [0, *(begin for begin in begins if begin <= len(errors)), len(errors)]
        for plateau in self._plateaus:
            for number, (start, end) in enumerate(pairwise(cuts)):
                if number:
                    plateau.restart()
                found += plateau.scan(errors[start:end], counts[start:end])
        return found

    def _triggers(self) -> list[Any]:
        """Return what `_scan` changes."""
        parts = [self._drift.state(), self.ledger.state(), self._looked, [skips.run for skips in self._skips]]
        return [*parts, [plateau.facts() for plateau in self._plateaus]]

    def _look_again(self, before: list[Any]) -> None:
        drift, ledger, self._looked, runs, plateaus = before
        self._drift.restore(*drift)
        self.ledger.restore(*ledger)
        for skips, run in zip(self._skips, runs, strict=True):
            skips.run = run
        for plateau, facts in zip(self._plateaus, plateaus, strict=True):
            plateau.restore(facts)
