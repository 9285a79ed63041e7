"""Looks for the events that rules act on, in the updates of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from learnd.daemon.contracts import Stateful
from learnd.daemon.drift.signals import Signals
from learnd.daemon.drift.watch import Drift
from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.reactions.outcomes import Outcomes
from learnd.daemon.reactions.set_scores import ComparedScore, SetPlateau
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.triggers import Drop, Plateau, SkipsInARow
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.values import Call, Event, Facts, Float64, Report, SampleSpec, Skip, State


class Watching:
    """Finds drifts, plateaus, drops and skips in a row. They do not depend on how the stream is cut into calls."""

    def __init__(self, rules: Sequence[Reaction], drift: Drift, spec: SampleSpec, anchor: str) -> None:
        """`anchor` is the digest of the anchor samples, whose scores rules compare."""
        self._drift = drift
        self._spec = spec
        self.made_for: Facts = {  # what its state is of
            "rules": [rule.model_dump(mode="json", exclude_unset=True) for rule in rules],
            "anchor": anchor,
        }
        self._skips = [SkipsInARow("update.non_finite", rules), SkipsInARow("loss.spike", rules)]
        plateaus = [(index, rule) for index, rule in enumerate(rules) if rule.on == "score.plateau"]
        self._plateaus = [Plateau(rule, index) for index, rule in plateaus if not rule.of_set]
        self._set_plateaus = [
            SetPlateau(rule, index, ComparedScore.of(rule, spec)) for index, rule in plateaus if rule.of_set
        ]
        self._drops = [
            Drop(rule, index, scoring_of(spec.task)) for index, rule in enumerate(rules) if rule.on == "score.drop"
        ]
        self._reports_surprise = any(rule.acts_on_reports for rule in rules)
        self._looked = np.zeros(2)  # sum and count of the errors since the last `take_mean_error`
        self.outcomes = Outcomes()

    def ahead(self, call: Call, halts: Callable[[Event], bool]) -> int:
        """Return how many updates of a call may run: up to the first event that `halts` and needs no report."""
        events = self._drift.ahead(call) if call.updates else []
        return next((_updates_up_to(event, call) for event in events if halts(event)), call.updates)

    def watch(self, call: Call, report: Report, halts: Callable[[Event], bool] | None) -> tuple[int, list[Event]]:
        """Look at the updates of a call, up to and including the first one with an event that `halts`.

        Return how many updates were looked at, and the events found in them.
        """
        if not call.updates:
            return 0, []
        signals = Signals.of(self._spec, call, report)
        halts = halts if self._reports_surprise else None  # all that halts was found ahead
        before = self.state() if halts is not None and call.updates > 1 else None
        found, updates = self._scan(signals, call, report), call.updates
        if halts is not None:
            updates = next((_updates_up_to(event, call) for event in found if halts(event)), updates)
        if updates < call.updates:
            assert before is not None, "a call of one update has nothing left to cut off"
            self.restore(before)
            found = self._scan(signals, call.part(0, updates), report)
        return updates, found

    def watch_scores(self, published: Sequence[Event]) -> list[Event]:
        """Return what is found in the scores among what was published: drops, the best so far, plateaus."""
        scores = [event for event in published if event.kind == "score"]
        drops = [event for drop in self._drops for event in drop.scan(scores)]
        return [*drops, *(event for plateau in self._set_plateaus for event in plateau.scan(scores))]

    def went_back(self, samples: int) -> None:
        """Note that the model was rolled back to its state at `samples`."""
        self.begin_phase()
        for drop in self._drops:
            drop.went_back(samples)
        for plateau in self._set_plateaus:
            plateau.went_back(samples)

    def begin_phase(self) -> None:
        """Start to look for a plateau over again."""
        for plateau in self._plateaus:
            plateau.restart()
        for of_set in self._set_plateaus:
            of_set.restart()

    def take_mean_error(self) -> float | None:
        """Return the mean error since the last call of this method; None if there are no errors."""
        (total, count), self._looked = self._looked, np.zeros(2)
        return float(total / count) if count else None

    def state(self) -> State:
        parts = {name: part.state() for name, part in {**self._of_stream(), **self._of_rules()}.items()}
        parts["looked"] = State({"sum_count": self._looked.copy()})
        return State.joined(parts, {"made_for": self.made_for})

    def restore(self, state: State) -> None:
        """Continue from `state`. If the rules or the anchor samples have changed, plateaus, drops and skips start over.

        Raises StateMismatchError, and changes nothing, if the columns or detectors of the drift watches do not fit.
        """
        same_rules = state.facts["made_for"] == self.made_for
        for name, part in {**self._of_stream(), **(self._of_rules() if same_rules else {})}.items():
            part.restore(state.part(name))  # drift comes first: only it can refuse
        self._looked = np.array(state.part("looked").arrays["sum_count"])

    def _of_stream(self) -> dict[str, Stateful]:
        return {"drift": self._drift, "outcomes": self.outcomes}

    def _of_rules(self) -> dict[str, Stateful]:
        parts: dict[str, Sequence[Stateful]] = {
            "skips": self._skips,
            "plateau": self._plateaus,
            "set_plateau": self._set_plateaus,
            "drop": self._drops,
        }
        return {f"{name}{index}": part for name, some in parts.items() for index, part in enumerate(some)}

    def _scan(self, signals: Signals, call: Call, report: Report) -> list[Event]:
        """Look at the updates of `call`: those of the signals, or the first of them."""
        errors = signals.error[: call.samples]
        counts = call.first + np.arange(1, len(errors) + 1)
        found = self._drift.scan(signals, slice(0, call.updates), call.first)
        skipped = report.skipped[: call.updates]
        if self._skips[0].run or self._skips[1].run or skipped.any():
            for skips, mine in zip(self._skips, (skipped == Skip.NON_FINITE, skipped > Skip.NON_FINITE), strict=True):
                found += skips.scan(mine, counts[call.rows - 1 :: call.rows])
        found += self._scan_plateaus(errors, counts, [phase.samples - call.first for phase in report.phases])
        found += self.outcomes.add(errors, call.first)
        known = errors[np.isfinite(errors)]
        self._looked = np.array([running_sum(self._looked[0], known)[-1], self._looked[1] + len(known)])
        return sorted(found, key=lambda event: event.samples)

    def _scan_plateaus(self, errors: Float64, counts: Any, begins: Sequence[int]) -> list[Event]:
        """Look for plateaus in the errors. They start over at each of `begins`, the errors before a new phase."""
        found = []
        cuts = [0, *(begin for begin in begins if begin <= len(errors)), len(errors)]
        for plateau in self._plateaus:
            for number, (start, end) in enumerate(pairwise(cuts)):
                if number:
                    plateau.restart()
                found += plateau.scan(errors[start:end], counts[start:end])
        return found


def _updates_up_to(event: Event, call: Call) -> int:
    """Return how many updates of a call there are up to an event in it."""
    return -(-(event.samples - call.first) // call.rows)
