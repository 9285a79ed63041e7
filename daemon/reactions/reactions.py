"""Runs the updates of calls, watches them, and does what the rules say.

What a rule does must happen behind the same update however updates are grouped into calls, and at once: a
network has adapted to most of a drift by itself within some hundred samples. So where a rule is to act in
the middle of a call, the learner goes back to its copy from before the call, runs the updates
up to there once more, is changed, and runs the rest. That is rare, costs at most a call, and leaves calls as long as
they are. The journal knows nothing of it: the same call is divided in the same way when it is repeated.

To roll back needs a position in the stream, which a call has at its end alone: calls end where that may happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import structlog

from daemon.contracts import Adaptable
from daemon.errors import DataError
from daemon.evaluation.counters import running_sum
from daemon.evaluation.drift.signals import Signals
from daemon.evaluation.drift.watch import Drift
from daemon.reactions.good_copy import GoodCopy
from daemon.reactions.ledger import Ledger
from daemon.reactions.settings import PHASE_ENDS, Action, Reaction
from daemon.reactions.triggers import Drop, Plateau, SkipsInARow
from daemon.state.progress import Progress
from daemon.values import Arrays, Call, Defect, Event, Facts, Rejection, Report, Skip, Task

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """Something outside of the model that a reaction asks of the loop: a pinned `checkpoint`, or a `pause`."""

    action: str
    reason: str


class Reactions:
    """Updates the learner, and reacts to what the updates show. All methods belong to the loop's thread."""

    def __init__(
        self,
        rules: Sequence[Reaction],
        learner: Adaptable,
        drift: Drift,
        task: Task,
        phase_rules: Sequence[Reaction] = (),
    ) -> None:
        """`phase_rules` act only where they end the phase that the learner is in."""
        self._of_phases = len(rules)  # the index of the first of them
        rules = self._rules = (*rules, *phase_rules)
        self._learner = learner
        self._drift = drift
        self._task = task
        self._skips = [SkipsInARow("update.non_finite", rules), SkipsInARow("loss.spike", rules)]
        self._plateaus = [Plateau(rule, index) for index, rule in enumerate(rules) if rule.on == "score.plateau"]
        self._drops = [Drop(rule, index) for index, rule in enumerate(rules) if rule.on == "score.drop"]
        self._ledger = Ledger()
        back = next((action.roll_back for rule in rules for action in rule.do if action.roll_back), None)
        self._good_copy = GoodCopy(back) if back else None
        self._looked = np.zeros(2)  # sum and count of the errors since the last look
        self._good = True
        self._samples = 0
        self._learner_lags = 0  # samples: since the model went back, it counts fewer than went through updates
        self._phases: list[tuple[int, str | None]] = []  # in the updates now watched: from which sample on, its end
        self._due: list[tuple[int, Event]] = []  # rules that will act, and why
        self._due_back: tuple[int, Event] | None = None
        self._reacted = [-(1 << 62)] * len(self._rules)  # at which sample each rule did last
        self._events: list[Event] = []
        self._began_phase = False
        self._fatal: DataError | None = None
        self.wishes: list[Wish] = []
        self._acts_at_once = any("roll_back" not in rule.actions for rule in rules)

    @property
    def periods(self) -> tuple[int, ...]:
        """Counts of samples: a call ends with the first update that reaches a multiple of one of them."""
        return (self._good_copy.action.every,) if self._good_copy else ()

    @property
    def good(self) -> bool:
        """Whether the score passed when it was last looked at."""
        return self._good

    def check(self) -> None:
        """Raise DataError where the model would have to go back once more than it may."""
        if self._fatal is not None:
            raise self._fatal

    def take_wishes(self) -> list[Wish]:
        """Return what was asked of the loop since the last time."""
        wishes, self.wishes = self.wishes, []
        return wishes

    def update(self, call: Call) -> Report:
        """Run the updates of a call, and change the model between them where a rule says so."""
        if self._good_copy is not None and self._samples == 0:
            self._good_copy.look(self._learner, None, {**Progress().facts(), "learner_lags": 0})
        reports, rest = [], call
        while True:
            self._phases = [(0, self._learner.phase_ends_on)]
            report = self._learner.update(rest)
            begun = self._note_phases()
            watched = self._watch(rest, report)
            if watched < rest.updates:
                self._learner.undo()
                report = self._learner.update(_part(rest, 0, watched))
                begun = self._note_phases()
            self._events += begun
            reports.append(report)
            self._act()
            if watched == rest.updates:
                return Report.joined(reports)
            rest = _part(rest, watched, rest.updates)

    def finish(self, call: Call, scores: Sequence[Event], progress: Progress) -> tuple[list[Event], list[Rejection]]:
        """End a call that `progress` has counted, whose `scores` were published.

        Return all events of the call in the order of the samples, and what was set aside because the model went back.
        """
        for drop in self._drops:
            found = drop.scan(scores)
            self._events += found
            self._take_up(found)
        self._act()
        set_aside: list[Rejection] = []
        if self._good_copy is not None and self._at_multiple_of(self._good_copy.action.every, call.samples):
            set_aside = self._look(self._good_copy, progress)
        events, self._events = [*self._events, *scores], []
        return sorted(events, key=lambda event: event.samples), set_aside

    def state(self) -> tuple[Arrays, Facts]:
        ledger, ledger_facts = self._ledger.state()
        arrays: Arrays = {"looked": self._looked.copy(), **{f"ledger.{name}": held for name, held in ledger.items()}}
        facts: Facts = {
            "rules": self._dumped(),
            "samples": self._samples,
            "learner_lags": self._learner_lags,
            "due": [[index, _plain(event)] for index, event in self._due],
            "due_back": [self._due_back[0], _plain(self._due_back[1])] if self._due_back else None,
            "reacted": list(self._reacted),
            "skips": [skips.run for skips in self._skips],
            "plateaus": [plateau.facts() for plateau in self._plateaus],
            "drops": [drop.facts() for drop in self._drops],
            "ledger": ledger_facts,
            "good": self._good,
            "good_copy": None,
        }
        if self._good_copy is not None:
            copy_arrays, facts["good_copy"] = self._good_copy.state()
            arrays |= copy_arrays
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Go on from `state`. Where the rules have changed since then, they begin anew."""
        self._samples, self._learner_lags = facts["samples"], facts["learner_lags"]
        self._ledger.restore({"errors": arrays["ledger.errors"]}, facts["ledger"])
        self._good = facts["good"]
        for skips, run in zip(self._skips, facts["skips"], strict=True):
            skips.run = run
        if self._good_copy is not None and facts["good_copy"] is not None:
            self._good_copy.restore(arrays, facts["good_copy"])
            self._looked = np.array(arrays["looked"])
        if facts["rules"] != self._dumped():
            return
        self._due = [(index, Event(*event)) for index, event in facts["due"]]
        self._due_back = (facts["due_back"][0], Event(*facts["due_back"][1])) if facts["due_back"] else None
        self._reacted = list(facts["reacted"])
        for plateau, its_facts in zip(self._plateaus, facts["plateaus"], strict=True):
            plateau.restore(its_facts)
        for drop, its_facts in zip(self._drops, facts["drops"], strict=True):
            drop.restore(its_facts)

    def _dumped(self) -> list[Any]:
        return [rule.model_dump(mode="json", exclude_unset=True) for rule in self._rules]

    # Watching.

    def _watch(self, call: Call, report: Report) -> int:
        """Watch the updates of a call, up to one behind which a rule acts. Return how many were watched."""
        if not call.updates:
            return 0
        signals, rows = Signals.of(self._task, call, report), int(call.x.shape[1])
        before = self._watched() if self._acts_at_once and call.updates > 1 else None
        found = self._scan(signals, report, slice(0, call.updates), rows)
        updates = next((self._update_of(event, rows) for event in found if self._acts_on(event)), call.updates)
        if updates < call.updates:
            assert before is not None, "a rule acts before the last update"
            self._watch_again(before)
            found = self._scan(signals, report, slice(0, updates), rows)
        self._samples += updates * rows
        self._events += found
        self._take_up(found)
        return updates

    def _scan(self, signals: Signals, report: Report, updates: slice, rows: int) -> list[Event]:
        """Look at some updates from the first on, for all that there is a rule for."""
        errors = signals.error[updates.start * rows : updates.stop * rows]
        counts = self._samples + np.arange(1, len(errors) + 1)
        found = self._drift.scan(signals, updates, self._samples)
        skipped = report.skipped[updates]
        if self._skips[0].run or self._skips[1].run or skipped.any():
            for skips, mine in zip(self._skips, (skipped == Skip.NON_FINITE, skipped > Skip.NON_FINITE), strict=True):
                found += skips.scan(mine, counts[rows - 1 :: rows])
        for plateau in self._plateaus:
            found += plateau.scan(errors, counts)
        found += self._ledger.add(errors, self._samples)
        if self._good_copy is not None:
            known = errors[np.isfinite(errors)]
            self._looked = np.array([running_sum(self._looked[0], known)[-1], self._looked[1] + len(known)])
        return sorted(found, key=lambda event: event.samples)

    def _watched(self) -> list[Any]:
        """Return what `_scan` changes."""
        parts = [self._drift.state(), self._ledger.state(), self._looked, [skips.run for skips in self._skips]]
        return [*parts, [plateau.facts() for plateau in self._plateaus]]

    def _watch_again(self, before: list[Any]) -> None:
        drift, ledger, self._looked, runs, plateaus = before
        self._drift.restore(*drift)
        self._ledger.restore(*ledger)
        for skips, run in zip(self._skips, runs, strict=True):
            skips.run = run
        for plateau, facts in zip(self._plateaus, plateaus, strict=True):
            plateau.restore(facts)

    def _update_of(self, event: Event, rows: int) -> int:
        """Return how many updates it takes to get to an event."""
        return -(-(event.samples - self._samples) // rows)

    def _acts_on(self, event: Event) -> bool:
        """Whether an event makes a rule act at once."""
        return any("roll_back" not in self._rules[index].actions for index in self._called_by(event))

    def _at_multiple_of(self, period: int, samples: int) -> bool:
        """Whether one lies in the last `samples`."""
        return (self._samples - samples) // period < self._samples // period

    def _note_phases(self) -> list[Event]:
        """Note and return the phases that the learner began by itself, at the samples of the stream."""
        begun = [replace(event, samples=event.samples + self._learner_lags) for event in self._learner.take_events()]
        self._phases += [(event.samples, "samples") for event in begun[:-1]]
        self._phases += [(event.samples, self._learner.phase_ends_on) for event in begun[-1:]]
        return begun

    # Reacting.

    def _called_by(self, event: Event) -> list[int]:
        """Return the rules that are to act on an event."""
        return [
            index
            for index, rule in enumerate(self._rules)
            if _matches(rule, index, event)
            and event.samples - self._reacted[index] >= rule.cooldown
            and (index < self._of_phases or self._phase_ends_on(event))
        ]

    def _phase_ends_on(self, event: Event) -> bool:
        on = f"drift.{event.data['level']}" if event.kind == "drift" else event.kind
        ends = next(ends for start, ends in reversed(self._phases) if start < event.samples)
        return PHASE_ENDS[on] == ends

    def _take_up(self, events: Sequence[Event]) -> None:
        """Note which rules are to act on these events."""
        for event in events:
            for index in self._called_by(event):
                self._reacted[index] = event.samples
                if "roll_back" in self._rules[index].actions:
                    self._due_back = self._due_back or (index, event)
                else:
                    self._due.append((index, event))

    def _act(self) -> None:
        due, self._due = self._due, []
        self._began_phase = False  # one at a time: two rules may ask for the next phase on the same occasion
        for index, cause in due:
            self._enter(index, cause, {action.name: self._do(action, cause) for action in self._rules[index].do})

    def _enter(self, index: int, cause: Event, outcomes: dict[str, str]) -> None:
        """Write a reaction into the history, and open its account."""
        on = self._rules[index].on
        before = self._ledger.reacted(index, on, self._samples)
        data = {"rule": index, "on": on, "cause": {"samples": cause.samples, **cause.data}, "actions": outcomes}
        self._events.append(Event("reaction", self._samples, {**data, "error_before": before}))

    def _do(self, action: Action, cause: Event) -> str:
        """Do one action. Return `done`, or `nothing` where there was nothing to do."""
        arguments = action.arguments
        if action.name == "learning_rate":
            self._learner.boost(arguments.times, arguments.over)
        elif action.name == "reset_moments":
            self._learner.reset_moments()
        elif action.name == "refit_standardization":
            self._learner.refit_standardization()
        elif action.name == "next_phase":
            if self._began_phase or not self._learner.next_phase():
                return "nothing"
            self._began_phase = True
            self._events += self._note_phases()
            for plateau in self._plateaus:
                plateau.restart()
        elif action.name == "log":
            log.warning(cause.kind, at_samples=cause.samples, **cause.data)
        else:
            self.wishes.append(Wish(action.name, f"{cause.kind} at {cause.samples:,} samples"))
        return "done"

    # Rolling back.

    def _look(self, copy: GoodCopy, progress: Progress) -> list[Rejection]:
        """Look at the model: roll it back where that is due, else copy it if it is good. Return what is set aside."""
        (total, count), self._looked = self._looked, np.zeros(2)
        if self._due_back is None:
            now = {**progress.facts(), "learner_lags": self._learner_lags}
            self._good = copy.look(self._learner, float(total / count) if count else None, now)
            return []
        (index, cause), self._due_back = self._due_back, None
        if copy.exhausted or copy.progress is None:
            if copy.exhausted:
                self._give_up(copy, cause)
            self._enter(index, cause, {"roll_back": "nothing"})
            return []
        spans, taken_back = self._roll_back(copy, copy.progress, progress, cause.kind)
        others = [action for action in self._rules[index].do if action.name != "roll_back"]
        self._enter(index, cause, {"roll_back": "done"} | {action.name: self._do(action, cause) for action in others})
        detail = f"trained before {cause.kind} at {cause.samples:,} samples, and taken back with {taken_back:,} samples"
        return [Rejection(*span, Defect("rolled_back", detail), b"") for span in spans]

    def _roll_back(
        self, copy: GoodCopy, then: Facts, progress: Progress, reason: str
    ) -> tuple[list[tuple[str, int, int]], int]:
        """Return the spans that were taken back, and how many samples of them had trained."""
        trained = progress.samples_trained
        copy.roll_back(self._learner)
        spans = progress.take_back(then)
        self._learner_lags = progress.samples - then["samples"] + then["learner_lags"]
        for plateau in self._plateaus:
            plateau.restart()
        taken_back = trained - progress.samples_trained
        data = {
            "reason": reason,
            "rollbacks": copy.rollbacks,
            "most": copy.action.most,
            "samples_taken_back": taken_back,
        }
        log.error("rolled_back", at_samples=self._samples, **data)
        self._events.append(Event("rollback", self._samples, {**data, "spans": [list(span) for span in spans]}))
        return spans, taken_back

    def _give_up(self, copy: GoodCopy, cause: Event) -> None:
        """Stop before the model would go back once more than it may; the next start may go back as often again."""
        self._fatal = DataError(
            f"{cause.kind} at {cause.samples:,} samples: the model went back {copy.rollbacks} times, as often as "
            "roll_back.most allows, and the stream harms it still. What was trained is kept in a checkpoint. See the "
            "dead letters for what was set aside; mend the producer or the settings, and start again."
        )
        copy.rollbacks = 0


def _matches(rule: Reaction, index: int, event: Event) -> bool:
    if event.kind == "drift":
        level_matches = rule.on == f"drift.{event.data['level']}"
        return level_matches and rule.signal in {None, event.data["signal"]}
    if rule.on != event.kind:
        return False
    return bool(event.data.get("rule", index) == index and event.data.get("in_a_row", rule.in_a_row) == rule.in_a_row)


def _plain(event: Event) -> list[Any]:
    return [event.kind, event.samples, dict(event.data)]


def _part(call: Call, start: int, end: int) -> Call:
    """Return the updates of a call from `start` up to `end`: for the learner, which looks at nothing else."""
    return replace(call, x=call.x[start:end], y=call.y[start:end], weight=call.weight[start:end])
