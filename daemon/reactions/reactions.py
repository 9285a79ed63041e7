"""Runs the updates of calls, watches them, and does what the rules say.

What a rule does must happen behind the same update however updates are grouped into calls, and at once: a
network has adapted to most of a drift by itself within some hundred samples. So where a rule is to act in
the middle of a call, the learner goes back to its copy from before the call, runs the updates
up to there once more, is changed, and runs the rest. That is rare, costs at most a call, and leaves calls as long as
they are. The journal knows nothing of it: the same call is divided in the same way when it is repeated.

To roll back needs a position in the stream, which a call has at its end alone: calls end where that may happen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from learnd.daemon.contracts import Adaptable
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import DataError
from learnd.daemon.reactions.good_copy import GoodCopy
from learnd.daemon.reactions.rules import Rules
from learnd.daemon.reactions.settings import Action, Reaction
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.progress import Progress
from learnd.daemon.values import Arrays, Call, Defect, Event, Facts, Rejection, Report, Task

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
        self._rules = Rules(rules, phase_rules)
        self._learner = learner
        self._watching = Watching(self._rules.all, drift, task)
        back = next((action.roll_back for rule in self._rules.all for action in rule.do if action.roll_back), None)
        self._good_copy = GoodCopy(back) if back else None
        self._good = True
        self._learner_lags = 0  # samples: since the model went back, it counts fewer than went through updates
        self._phases: list[tuple[int, str | None]] = []  # in the updates now watched: from which sample on, its end
        self._due: list[tuple[int, Event]] = []  # rules that will act, and why
        self._due_back: tuple[int, Event] | None = None
        self._events: list[Event] = []
        self._began_phase = False
        self._fatal: DataError | None = None
        self.wishes: list[Wish] = []
        self._acts_at_once = self._rules.act_at_once(range(len(self._rules.all)))

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

    def forget_pauses(self) -> None:
        """Wish for no pause any more."""
        self.wishes = [wish for wish in self.wishes if wish.action != "pause"]

    def take_wishes(self) -> list[Wish]:
        """Return what was asked of the loop since the last time."""
        wishes, self.wishes = self.wishes, []
        return wishes

    def update(self, call: Call) -> Report:
        """Run the updates of a call, and change the model between them where a rule says so."""
        if self._good_copy is not None and self._watching.samples == 0:
            self._good_copy.look(self._learner, None, {**Progress().facts(), "learner_lags": 0})
        if call.next_phase is not None:
            self._begin_phase_as_told()
        reports, rest = [], call
        while True:
            report, updates = self._update(rest)
            reports.append(report)
            self._act()
            if updates == rest.updates:
                return Report.joined(reports)
            rest = _part(rest, updates, rest.updates)

    def finish(self, call: Call, scores: Sequence[Event], progress: Progress) -> tuple[list[Event], list[Rejection]]:
        """End a call that `progress` has counted, whose `scores` were published.

        Return all events of the call in the order of the samples, and what was set aside because the model went back.
        """
        dropped = self._watching.watch_scores(scores)
        self._events += dropped
        self._take_up(dropped)
        self._act()
        set_aside: list[Rejection] = []
        if self._good_copy is not None and self._at_multiple_of(self._good_copy.action.every, call.samples):
            set_aside = self._look(self._good_copy, progress)
        events, self._events = [*self._events, *scores], []
        return sorted(events, key=lambda event: event.samples), set_aside

    def state(self) -> tuple[Arrays, Facts]:
        arrays, watching = self._watching.state()
        facts: Facts = {
            "rules": self._rules.dumped(),
            "called_at": list(self._rules.called_at),
            "watching": watching,
            "learner_lags": self._learner_lags,
            "due_back": [self._due_back[0], _plain(self._due_back[1])] if self._due_back else None,
            "good": self._good,
            "good_copy": None,
        }
        if self._good_copy is not None:
            copy_arrays, facts["good_copy"] = self._good_copy.state()
            arrays |= copy_arrays
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Go on from `state`. Where the rules have changed since then, they begin anew."""
        same_rules = facts["rules"] == self._rules.dumped()
        self._watching.restore(arrays, facts["watching"], same_rules=same_rules)
        self._learner_lags, self._good = facts["learner_lags"], facts["good"]
        if self._good_copy is not None and facts["good_copy"] is not None:
            self._good_copy.restore(arrays, facts["good_copy"])
        due_back = (facts["due_back"][0], Event(*facts["due_back"][1])) if facts["due_back"] else None
        if same_rules:
            self._rules.called_at = list(facts["called_at"])
            self._due_back = due_back
        elif due_back is not None:
            log.warning(
                "roll_back_dropped",
                cause=due_back[1].kind,
                at_samples=due_back[1].samples,
                consequence="the rules under reactions have changed since it was due; the model is as it was",
            )

    # Updating.

    def _update(self, call: Call) -> tuple[Report, int]:
        """Run the updates of a call, up to one behind which a rule is to act. Return how many that were."""
        report, begun = self._run(call)
        halts = self._halts if self._acts_at_once else None
        updates, found = self._watching.watch(call, report, [start for start, _ in self._phases[1:]], halts)
        if updates < call.updates:
            self._learner.undo()
            report, begun = self._run(_part(call, 0, updates))
        self._enter_phases(begun)
        self._events += found
        self._take_up(found)
        return report, updates

    def _run(self, call: Call) -> tuple[Report, list[Event]]:
        self._phases = [(0, self._learner.phase_ends_on)]
        return self._learner.update(call), self._note_phases()

    def _note_phases(self) -> list[Event]:
        """Note and return the phases that the learner began by itself, at the samples of the stream."""
        begun = [replace(event, samples=event.samples + self._learner_lags) for event in self._learner.take_events()]
        self._phases += [(event.samples, "samples") for event in begun[:-1]]
        self._phases += [(event.samples, self._learner.phase_ends_on) for event in begun[-1:]]
        return begun

    def _halts(self, event: Event) -> bool:
        """Whether an event makes a rule act at once."""
        return self._rules.act_at_once(self._called_by(event))

    def _called_by(self, event: Event) -> list[int]:
        phase_end = next(end for start, end in reversed(self._phases) if start < event.samples)
        return self._rules.called_by(event, phase_end)

    def _at_multiple_of(self, period: int, samples: int) -> bool:
        """Whether one lies in the last `samples`."""
        return (self._watching.samples - samples) // period < self._watching.samples // period

    # Reacting.

    def _take_up(self, events: Sequence[Event]) -> None:
        """Note which rules are to act on these events."""
        for event in events:
            for index in self._called_by(event):
                self._rules.called_at[index] = event.samples
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
        on, samples = self._rules[index].on, self._watching.samples
        before = self._watching.ledger.reacted(index, on, samples)
        data = {"rule": index, "on": on, "cause": {"samples": cause.samples, **cause.data}, "actions": outcomes}
        self._events.append(Event("reaction", samples, {**data, "error_before": before}))

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
            if self._began_phase or not self._begin_next_phase(_named(cause)):
                return "nothing"
            self._began_phase = True
        elif action.name == "log":
            log.warning("reaction", on=_named(cause), at_samples=cause.samples, **_without_level(cause.data))
        else:
            self.wishes.append(Wish(action.name, f"{_named(cause)} at {cause.samples:,} samples"))
        return "done"

    def _begin_next_phase(self, cause: str) -> bool:
        if not self._learner.next_phase(cause):
            return False
        self._enter_phases(self._note_phases())
        self._watching.begin_phase()
        return True

    def _enter_phases(self, begun: Sequence[Event]) -> None:
        self._events += begun
        for event in begun:
            log.info("phase", at_samples=event.samples, **event.data)

    def _begin_phase_as_told(self) -> None:
        """Begin the next phase because an operator has asked for it."""
        if not self._begin_next_phase("command"):
            log.warning("no_next_phase", phase=self._learner.phase, consequence="the phase goes on")

    # Rolling back.

    def _look(self, copy: GoodCopy, progress: Progress) -> list[Rejection]:
        """Look at the model: roll it back where that is due, else copy it if it is good. Return what is set aside."""
        error = self._watching.take_mean_error()
        if self._due_back is None:
            self._good = copy.look(self._learner, error, {**progress.facts(), "learner_lags": self._learner_lags})
            return []
        (index, cause), self._due_back = self._due_back, None
        outcomes: dict[str, str] = {}
        set_aside: list[Rejection] = []
        for action in self._rules[index].do:
            if action.name == "roll_back":
                outcomes["roll_back"], set_aside = self._go_back(copy, progress, cause)
            else:
                outcomes[action.name] = self._do(action, cause)
        self._enter(index, cause, outcomes)
        return set_aside

    def _go_back(self, copy: GoodCopy, progress: Progress, cause: Event) -> tuple[str, list[Rejection]]:
        if copy.exhausted:
            self._give_up(copy, cause)
            return "given up", []
        if copy.progress is None:
            return "nothing", []
        spans, taken_back = self._roll_back(copy, copy.progress, progress, _named(cause))
        what = f"trained before {_named(cause)} at {cause.samples:,} samples"
        defect = Defect("rolled_back", f"{what}, and taken back with {taken_back:,} samples")
        return "done", [Rejection(*span, defect, b"") for span in spans]

    def _roll_back(
        self, copy: GoodCopy, then: Facts, progress: Progress, reason: str
    ) -> tuple[list[tuple[str, int, int]], int]:
        """Return the spans that were taken back, and how many samples of them had trained."""
        trained, phase = progress.samples_trained, self._learner.phase
        copy.roll_back(self._learner)
        spans = progress.take_back(then)
        self._learner_lags = progress.samples - then["samples"] + then["learner_lags"]
        self._watching.went_back(then["samples"])
        self._good = True
        taken_back = trained - progress.samples_trained
        data = {
            "reason": reason,
            "rollbacks": copy.rollbacks,
            "most": copy.action.most,
            "samples_taken_back": taken_back,
        }
        samples = self._watching.samples
        log.error("rolled_back", at_samples=samples, **data)
        self._events.append(Event("rollback", samples, {**data, "spans": [list(span) for span in spans]}))
        while self._learner.phase < phase:  # what ended it does not come again
            self._begin_next_phase("rollback")
        return spans, taken_back

    def _give_up(self, copy: GoodCopy, cause: Event) -> None:
        """Stop before the model would go back once more than it may; the next start may go back as often again."""
        self._fatal = DataError(
            f"{_named(cause)} at {cause.samples:,} samples: the model went back as often as roll_back.most allows, "
            f"{copy.rollbacks} times, and the stream harms it still. What was trained is kept in a checkpoint. See the "
            "dead letters for what was set aside; mend the producer or the settings, and start again."
        )
        copy.rollbacks = 0


def _named(cause: Event) -> str:
    """Return what a cause is, in words: `drift.confirmed of error`, `score.plateau`."""
    return f"drift.{cause.data['level']} of {cause.data['signal']}" if cause.kind == "drift" else cause.kind


def _without_level(data: Mapping[str, Any]) -> Facts:
    """Leave out what the log has a meaning of its own for."""
    return {key: value for key, value in data.items() if key != "level"}


def _plain(event: Event) -> list[Any]:
    return [event.kind, event.samples, dict(event.data)]


def _part(call: Call, start: int, end: int) -> Call:
    """Return the updates of a call from `start` up to `end`: for the learner, which looks at nothing else."""
    return replace(call, x=call.x[start:end], y=call.y[start:end], weight=call.weight[start:end])
