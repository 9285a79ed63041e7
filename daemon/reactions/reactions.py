"""Carries out the rules on events in the stream, and the commands of operators.

A rollback needs a position in the stream, which is known only between two calls. So calls end where one may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from typing import TypeAlias

import structlog
from pydantic import ValidationError

from learnd.daemon.actions import ACTIONS
from learnd.daemon.actions.contract import (
    COMMAND,
    DONE,
    GIVEN_UP,
    NOTHING,
    REFUSED,
    Action,
    Cause,
    NothingToDoError,
)
from learnd.daemon.contracts import Callbacks, Change, Contested, Stateful
from learnd.daemon.control.control_state import ControlState
from learnd.daemon.errors import DataError
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.foundation.shares import spending
from learnd.daemon.reactions.early_stop import EarlyStop
from learnd.daemon.reactions.good_copy import GoodCopy, gone_back_too_often
from learnd.daemon.reactions.rules import Rules
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.reactions.skip_rate import BLOCK, SkipRate, hardly_learns
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.state.progress import Progress
from learnd.daemon.state.saving import SaveRequest
from learnd.daemon.training.trainer import Part
from learnd.daemon.values import Call, Command, Defect, Event, Facts, PhaseBegun, Rejection, Samples, State

log = structlog.get_logger()

BringBack: TypeAlias = Callable[[Contested, int], Sequence[Event]]
_LOGGED = {"rollback": "rolled_back", "stopped": "stopped_early"}  # what the log calls a return, by its event


class Reactions:
    """Runs the rules and commands. Implements `actions.Hands`. For the loop's thread only."""

    def __init__(
        self,
        rules: Sequence[Reaction],
        phase_rules: Sequence[Reaction],
        learner: Contested,
        watching: Watching,
        control: ControlState,
        progress: Progress,
        saving: SaveRequest,
        callbacks: Callbacks | None = None,
    ) -> None:
        """`phase_rules` act only if they end the learner's phase."""
        self._callbacks, self._called = callbacks, callbacks and callbacks.made
        self._rules = Rules(rules, phase_rules)
        self.learner = learner
        self._watching = watching
        self._control = control
        self._progress = progress
        self._saving = saving
        self._good_copy = GoodCopy.wanted_by(self._rules.all)
        self._early_stop = EarlyStop(self._rules.all)
        self._recent = Ring(learner.trial_samples if self._rules.ever_do("refit_standardization") else 0)
        self.live = True
        self._good = True
        self._skip_rate = SkipRate()
        self._samples = 0  # the sample count at which actions act now
        self._due: list[tuple[int, Event]] = []  # rules that are to act, and why
        self._due_back: tuple[int, Event] | None = None
        self._events: list[Event] = []
        self._began_phase = False
        self._set_aside: list[Rejection] = []
        self._fatal: DataError | None = None

    @property
    def periods(self) -> tuple[int, ...]:
        """Sample counts: a call ends with the first update that reaches a multiple of one of them."""
        return (self._good_copy.action.every,) if self._good_copy else ()

    @property
    def good(self) -> bool:
        """Whether the model was good at the last look, and does not skip too many updates."""
        return self._good and not (self._skip_rate.too_high or self._progress.mostly_not_finite)

    @property
    def stopped(self) -> str | None:
        """Why a rule has ended the run; None if none has."""
        return self._early_stop.reason

    @property
    def ended_by_callbacks(self) -> bool:
        """Whether callbacks have ended the run, perhaps with other weights than the last scores are of."""
        return self._callbacks is not None and self._callbacks.stop

    @property
    def ever_at_once(self) -> bool:
        """Whether any rule may act within a call."""
        return self._rules.act_at_once(index for index, rule in enumerate(self._rules.all) if not rule.on_scores)

    def act_at_once(self, event: Event, phase_end: str | None) -> bool:
        """Whether a rule acts right after the update with an event. The event's phase ends on `phase_end`."""
        return self._rules.act_at_once(self._rules.called_by(event, phase_end))

    def check(self) -> None:
        """Raise DataError if the model would have to be rolled back more often than it may be, or hardly learns."""
        if self._fatal is not None:
            raise self._fatal
        if self._skip_rate.too_high and self._skip_rate.news and self._due_back is None:
            raise hardly_learns(f"More than a fifth of {BLOCK:,} updates in a row")

    def check_end(self) -> None:
        """Raise DataError if most updates of a stream that has ended were skipped."""
        if self._progress.mostly_not_finite:
            skipped = self._progress.skipped["non_finite"]
            raise hardly_learns(f"{skipped:,} of {self._progress.updates_seen:,} updates")

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """Do again what an earlier process did."""
        self.live = False
        yield
        self.live = True

    @spending("watching")
    def begin(self, call: Call) -> None:
        """Carry out the commands of a call, before its updates."""
        self._samples = call.first
        if self._callbacks is not None and call.updates:
            self._callbacks.begin()
        if self._good_copy is not None and call.first == 0:
            self._good_copy.look(self.learner, None, Progress().mark())
        for command in call.commands:
            if not self._control.has_obeyed(command):  # two files may hold the same one
                self._obey(command)

    @spending("watching")
    def react(self, part: Part) -> None:
        """Carry out the rules on the events in a part of a call that has run."""
        self._samples = part.call.end
        self._skip_rate.add(part.report.skipped)
        if self._callbacks is not None:
            self._callbacks.look(part.report)
        if self._recent.size:
            self._recent.add(part.call.batches.in_a_row()[-self._recent.size :].named())
        self._enter_phases(part.report.phases)
        self._events += part.found
        self._tell_of_contest(part.report.decided)
        for event in part.found:
            if event.kind == "drift.unwatched":
                log.info("drift_unwatched", at_samples=event.samples, **event.data)
            self._take_up(event, part.phase_end(event))
        self._act()

    @spending("watching")
    def finish(self, call: Call, scores: Sequence[Event]) -> tuple[list[Event], list[Rejection]]:
        """End a call. Its progress is counted, and `scores` are its new scores.

        Return all events of the call in the order of the samples, and the records that a rollback set aside.
        """
        for event in self._watching.watch_scores(scores):
            self._events.append(event)
            self._take_up(event, None)
            self._early_stop.look(event, self.learner, self._progress.mark())
        self._act()
        if self._callbacks is not None and not self.stopped:
            self._events += self._callbacks.finish(call, scores)
            if self._callbacks.stop:
                self.stop(Cause("callbacks", self._samples, {}), restore_best=False)
        if self._good_copy is not None and not self.stopped and call.passes(self._good_copy.action.every):
            self._look(self._good_copy)
        events, self._events = [*self._events, *scores], []
        set_aside, self._set_aside = self._set_aside, []
        return sorted(events, key=lambda event: event.samples), set_aside

    def state(self) -> State:
        facts: Facts = {
            **self._watching.made_for,
            "called": self._called,
            "called_at": list(self._rules.called_at),
            "due_back": [self._due_back[0], [*astuple(self._due_back[1])]] if self._due_back else None,
            "good": self._good,
        }
        parts = {"good_copy": self._good_copy.state()} if self._good_copy else {}
        parts |= {name: part.state() for name, part in self._lasting().items()}
        return State.joined(parts, facts)

    def restore(self, state: State) -> None:
        """Continue from `state`. If the rules or the anchor samples have changed since then, the rules start over, as
        what watches for them does. If they or the callbacks have changed, a run that has ended goes on.
        """
        facts = state.facts
        self._good = facts["good"]
        if self._good_copy is not None and "good_copy" in facts:
            self._good_copy.restore(state.part("good_copy"))
        for name, part in self._lasting().items():
            if name in facts:  # there were no callbacks before, say
                part.restore(state.part(name))
        due_back = (facts["due_back"][0], Event(*facts["due_back"][1])) if facts["due_back"] else None
        same_rules = all(facts.get(name, value) == value for name, value in self._watching.made_for.items())
        if not same_rules or facts.get("called") != self._called:
            self._early_stop.go_on()
        if same_rules:
            self._rules.called_at = list(facts["called_at"])
            self._due_back = due_back
            return
        self._early_stop = EarlyStop(self._rules.all)
        if due_back is not None:
            log.warning(
                "roll_back_dropped",
                cause=due_back[1].kind,
                at_samples=due_back[1].samples,
                consequence="the rules or the anchor samples have changed since then; the model is not rolled back",
            )

    def _lasting(self) -> dict[str, Stateful]:
        own = {} if self._callbacks is None else {"callbacks": self._callbacks}
        return {"recent": self._recent, "skip_rate": self._skip_rate, "early_stop": self._early_stop, **own}

    # Acting.

    def _take_up(self, event: Event, phase_end: str | None) -> None:
        """Note the rules that are to act on an event."""
        for index in self._rules.called_by(event, phase_end):
            self._rules.called_at[index] = event.samples
            if self._rules[index].between_calls:
                self._due_back = self._due_back or (index, event)
            else:
                self._due.append((index, event))

    def _act(self) -> None:
        due, self._due = self._due, []
        self._began_phase = False  # begin one phase at most: two rules may ask for the next one at the same time
        for index, event in due:
            self._follow(index, event)

    def _follow(self, index: int, event: Event, *, idle: bool = False) -> None:
        """Carry out a rule, unless it is to stay `idle`, write it to the history, and follow its outcome."""
        rule, cause = self._rules[index], Cause.of(event)
        outcomes = {choice.name: NOTHING if idle else self._outcome(choice.action, cause) for choice in rule.do}
        before = self._watching.outcomes.reacted(index, rule.on, self._samples)
        on = {"rule": index, "on": rule.on, "cause": {"samples": event.samples, **event.data}}
        self._events.append(Event("reaction", self._samples, {**on, "actions": outcomes, "error_before": before}))

    def _outcome(self, action: Action, cause: Cause) -> str:
        try:
            return action.do(self, cause)
        except NothingToDoError as reason:
            log.info("nothing_to_do", at_samples=self._samples, cause=str(cause), reason=str(reason))
            return NOTHING

    def _obey(self, command: Command) -> None:
        """Carry out a command, and write its outcome to the history."""
        self._control.obeyed(command)
        self._began_phase = False
        outcome = command.became or self._outcome_of(command)
        data = {"id": command.id, "action": command.action, "arguments": command.arguments, **outcome}
        log.info("command", at_samples=self._samples, **data)
        about = {"by": command.by, "asked_at": command.at, "why": command.why}
        self._events.append(Event("command", self._samples, {**data, **about}))

    def _outcome_of(self, command: Command) -> Facts:
        try:
            action = ACTIONS[command.action].model_validate(command.arguments)
            cause = Cause(COMMAND, self._samples, {"by": command.by, "why": command.why})
            return {"outcome": action.do(self, cause)}
        except (NothingToDoError, KeyError, ValidationError) as refusal:  # another version may have written it
            return {"outcome": REFUSED, "reason": str(refusal)}

    def begin_next_phase(self, cause: str) -> bool:
        if self._began_phase:
            return False
        self._began_phase = self._next_phase(cause)
        return self._began_phase

    def refit_standardization(self, cause: Cause) -> str:
        if cause.word != COMMAND and not self._refit_helps():
            raise NothingToDoError("the latest samples would be predicted no better")
        self.learner.refit_standardization()
        return DONE

    def _refit_helps(self) -> bool:
        recent = self._recent.latest(self._recent.size)
        return len(self._recent) == self._recent.size and self.learner.refit_helps(Samples.of_named(recent))

    def try_out(self, name: str, change: Change, samples: int) -> None:
        if (reason := self.learner.try_out(name, change, samples)) is not None:
            raise NothingToDoError(reason)

    def save(self) -> None:
        self._saving.ask(pin=True)

    def pause(self, reason: str) -> None:
        self._control.pause(reason)
        self._saving.ask()

    def resume(self) -> bool:
        return self._control.resume() | self._early_stop.go_on()

    def _next_phase(self, cause: str) -> bool:
        if (begun := self.learner.next_phase(cause, self._samples)) is None:
            return False
        self._enter_phases([begun])
        self._watching.begin_phase()
        return True

    def _enter_phases(self, begun: Sequence[PhaseBegun]) -> None:
        for phase in begun:
            self._events.append(phase.event)
            log.info("phase", at_samples=phase.samples, **phase.data)

    # Going back.

    def stop(self, cause: Cause, *, restore_best: bool) -> None:
        self._early_stop.reason, best = str(cause), self._early_stop.best
        data: Facts = {"reason": cause.word, **cause.data}
        if restore_best and best.progress is not None:
            self._go_back(best.progress, best.bring_back, cause, "stopped", data)
        else:
            self._tell_return("stopped", data, cause, [], 0)

    def _go_back(self, then: Facts, bring_back: BringBack, cause: Cause, kind: str, data: Facts) -> None:
        """Bring the model back to how it was `then`, set aside what was trained since, and tell of it."""
        trained, phase = self._progress.samples_trained, (self.learner.phase, self.learner.phase_ends_on)
        of_contest = bring_back(self.learner, self._samples)
        spans = self._progress.take_back(then)
        self._watching.went_back(then["samples"])
        self._watching.take_mean_error()
        for copy in filter(None, (self._good_copy, self._early_stop.best)):
            copy.forget_after(then["samples"])  # what trained it later is set aside
        if self._good_copy is not None and self._good_copy.progress is None:
            self._good_copy.take(self.learner.state(), then)
        self._due_back = None  # what asked for a rollback is gone, if something was ahead of it; so are its errors
        self._good = True
        self._skip_rate.restart()
        self._tell_return(kind, data, cause, spans, trained - self._progress.samples_trained)
        self._tell_of_contest(of_contest)
        self._return_to_phase(*phase)

    def _tell_return(
        self, kind: str, data: Facts, cause: Cause, spans: Sequence[tuple[str, int, int]], taken_back: int
    ) -> None:
        data = {**data, "samples_taken_back": taken_back}
        (log.error if kind == "rollback" else log.info)(_LOGGED[kind], at_samples=self._samples, **data)
        self._events.append(Event(kind, self._samples, {**data, "spans": [list(span) for span in spans]}))
        defect = Defect("rolled_back", f"trained before {cause}, and taken back with {taken_back:,} samples")
        self._set_aside += [Rejection(*span, defect, b"") for span in spans]

    def _look(self, copy: GoodCopy) -> None:
        """Roll the model back if that is due; otherwise copy it if it is good."""
        error = self._watching.take_mean_error()
        due, self._due_back = self._due_back, None
        if due is not None:
            idle = self._rules[due[0]].if_error_rose and copy.is_usual(error)
            self._follow(*due, idle=idle)
            if not idle:
                return
        self._good = copy.look(self.learner, error, self._progress.mark())

    def roll_back(self, cause: Cause) -> str:
        copy = self._good_copy
        if copy is None or copy.progress is None:
            raise NothingToDoError("there is no good copy: one is kept only if a rule names roll_back")
        if cause.word == COMMAND:
            copy.check_asked(copy.progress)
        if copy.exhausted:
            self._give_up(copy, cause)
            return GIVEN_UP
        data = {"reason": cause.word, "rollbacks": copy.rollbacks + 1, "most": copy.action.most}
        self._go_back(copy.progress, copy.roll_back, cause, "rollback", data)
        return DONE

    def _return_to_phase(self, number: int, ends_on: str | None) -> None:
        """Go on to a phase, since what ended the earlier ones does not happen again. A model may lead now that is in
        another one, or that has no phases.
        """
        begun = False
        while self.learner.phase < number and self._next_phase("rollback"):
            begun = True
        if not begun and (self.learner.phase, self.learner.phase_ends_on) != (number, ends_on):
            self._enter_phases([self.learner.phase_from("rollback", self._samples)])

    def _tell_of_contest(self, decided: Sequence[Event]) -> None:
        self._events += decided
        for event in decided:
            log.info(event.kind, at_samples=event.samples, **event.data)

    def _give_up(self, copy: GoodCopy, cause: Cause) -> None:
        """Stop instead of rolling back more often than allowed. After a restart, the count begins at 0 again."""
        self._fatal = gone_back_too_often(str(cause), copy.rollbacks)
        copy.rollbacks = 0
