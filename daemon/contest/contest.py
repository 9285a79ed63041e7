"""Several models on one stream: one leads, and others challenge it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from learnd.daemon.contest.decisions import Decisions
from learnd.daemon.contest.match import Decision, Match, Outcome, Terms
from learnd.daemon.contest.settings import LEADER, TRIAL, ChallengerSettings
from learnd.daemon.contracts import Change, Contender
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Call, Event, Facts, PhaseBegun, Report, Samples, SampleSpec, State

log = structlog.get_logger()

_LEVEL_OF_TRIALS = 0.01
_PART = "contest"  # of a state, beside what is of the model that leads


@dataclass(frozen=True, slots=True)
class Challenger:
    """One of the settings, with the model that is built for it."""

    settings: ChallengerSettings
    learner: Contender

    def match(self, spec: SampleSpec) -> Match:
        """Return its match from the start."""
        settings = self.settings
        return Match(settings.name, self.learner, Terms(settings.warm_up, settings.samples, settings.level), spec)

    @property
    def entered_with(self) -> Facts:
        """What a change of makes it another challenger."""
        return self.settings.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True, slots=True)
class _Before:
    """What an `update` began with: which learners it has updated, how each match stood; or the whole state."""

    learners: Sequence[Contender]
    tests: Sequence[State]
    whole: State | None = None


class Contest:
    """A `contracts.Contested`: updates the model that leads, and those that challenge it, with the same calls.

    What it reports, predicts and exports is of the one that leads, and actions change that one. A challenger that has
    won leads from the next update on; the one before is dropped. While nobody challenges the model, the state is that
    of its learner. For the loop's thread only; challengers train in threads beside it.
    """

    def __init__(
        self,
        learner: Contender,
        spec: SampleSpec,
        challengers: Sequence[Challenger] = (),
        copy: Contender | None = None,
    ) -> None:
        """`copy` is built as `learner` is, for what is tried."""
        self._spec = spec
        self._own, self._copy = learner, copy
        self._challengers = {challenger.settings.name: challenger for challenger in challengers}
        self._leads = LEADER
        self._matches = [challenger.match(spec) for challenger in challengers]
        self._decided = Decisions()
        self._before: _Before | None = None
        self._threads = ThreadPoolExecutor(len(challengers) + 1, "challenger") if challengers or copy else None

    @property
    def leader(self) -> Contender:
        """The learner that leads."""
        return self._own if self._leads == LEADER else self._challengers[self._leads].learner

    def standings(self) -> Facts:
        """Return who leads, how each challenger stands, and which matches are over since when."""
        return {
            "leads": self._leads,
            "challengers": {match.name: match.standing() for match in self._matches},
            "decided": self._decided.facts(),
        }

    # Training.

    def compile(self) -> None:
        for learner in [*self._training(), *([self._copy] if self._copy else [])]:
            learner.compile()

    def update(self, call: Call) -> Report:
        """Run the updates of a call. A match that is decided within it ends behind the update that decides."""
        self._before = self._standing_now()
        report, decisions = self._train(call)
        if not decisions:
            return report
        self._take_back(self._before)
        self._before = replace(self._before, whole=self.state())
        reports, done = [], 0
        while done < call.updates:
            part, report, decisions = self._train_up_to_decision(call.part(done, call.updates))
            done += part.updates
            reports.append(self._settled(decisions, part.end, report) if decisions else report)
        return Report.joined(reports)

    def undo(self) -> None:
        """Undo the last `update`. Only once."""
        before = self._before
        assert before is not None, "an update comes first"
        if before.whole is None:
            self._take_back(before)
        else:
            self.restore(before.whole)

    def _built(self) -> list[Contender]:
        all_ = [self._own, *(challenger.learner for challenger in self._challengers.values())]
        return all_ if self._copy is None else [*all_, self._copy]

    def _training(self) -> list[Contender]:
        return [self.leader, *(match.learner for match in self._matches)]

    def _standing_now(self) -> _Before:
        return _Before(self._training(), [match.of_test() for match in self._matches])

    def _take_back(self, before: _Before) -> None:
        """Undo updates that have decided nothing, or whose decisions are not carried out."""
        for learner in before.learners:
            learner.undo()
        for match, state in zip(self._matches, before.tests, strict=True):
            match.restore_test(state)

    def _train(self, call: Call) -> tuple[Report, dict[Match, Decision]]:
        """Update all that train. Return the report of the one that leads, and what is decided."""
        if self._threads is None:
            return self.leader.update(call), {}
        challenging = [self._threads.submit(match.learner.update, call) for match in self._matches]
        leading = self.leader.update(call)
        reports = [other.result() for other in challenging]
        if not call.updates:
            return leading, {}
        found = {
            match: match.follow(call, leading, report) for match, report in zip(self._matches, reports, strict=True)
        }
        return leading, {match: decision for match, decision in found.items() if decision is not None}

    def _train_up_to_decision(self, call: Call) -> tuple[Call, Report, dict[Match, Decision]]:
        """Run a call up to the first update that decides a match, if there is one."""
        before = self._standing_now()
        report, decisions = self._train(call)
        updates = min((decision.updates for decision in decisions.values()), default=call.updates)
        if updates < call.updates:
            self._take_back(before)
            call = call.part(0, updates)
            report, decisions = self._train(call)
        return call, report, decisions

    # What becomes of matches.

    def _settled(self, decisions: Mapping[Match, Decision], samples: int, report: Report) -> Report:
        """Carry out decisions that all fall on the last update of a report. Return the report with them.

        Of two that win at once, the first one leads, and the other one challenges it.
        """
        winner = next((match for match, decision in decisions.items() if decision.outcome == "promoted"), None)
        earlier = self.leader.phase, self.leader.phase_ends_on
        ended = {match: one.outcome for match, one in decisions.items() if match is winner or one.outcome != "promoted"}
        phases = report.phases
        if winner is not None:
            if winner.name != TRIAL:  # a change of a model that does not lead any more is of no use
                ended |= {match: "called off" for match in self._matches if match.name == TRIAL}
            self._promote(winner)
            if (self.leader.phase, self.leader.phase_ends_on) != earlier:
                phases += (self.leader.phase_from("promoted", samples),)
        events = tuple(self._end(match, outcome, samples) for match, outcome in ended.items())
        if winner is not None:
            for match in self._matches:
                match.begin_again()
        return replace(report, phases=phases, decided=events)

    def _promote(self, winner: Match) -> None:
        """Let a challenger lead."""
        if winner.name == TRIAL:
            assert self._copy is not None, "it is what has won"
            self._own, self._copy = self._copy, self._own
        else:
            self._leads = winner.name

    def _end(self, match: Match, outcome: Outcome, samples: int) -> Event:
        self._matches.remove(match)
        event = match.event(outcome, samples)
        self._decided.add(event)
        return event

    def try_out(self, name: str, change: Change, samples: int) -> str | None:
        if self._copy is None:
            return "no copy of the model is kept: one is only if a rule of the settings names trial"
        if self._leads != LEADER:
            return f"the challenger {self._leads} leads, of which no copy is kept"
        if self._on_trial is not None:
            return "another change is on trial"
        self._copy.restore(self._own.state())
        match = self._trial(self._copy, samples, name)
        if change(self._copy) is None and name == "next_phase":
            return "no phase follows"
        self._matches.append(match)
        return None

    @property
    def _on_trial(self) -> Match | None:
        return next((match for match in self._matches if match.name == TRIAL), None)

    def _trial(self, copy: Contender, samples: int, tries: str = "") -> Match:
        return Match(TRIAL, copy, Terms(0, samples, _LEVEL_OF_TRIALS), self._spec, tries)

    # State.

    @property
    def changes(self) -> Sequence[str]:
        return [change for learner in self._training() for change in learner.changes]

    def state(self) -> State:
        leading, decided = self.leader.state(), self._decided.facts()
        if not self._challengers and not self._matches and not decided:
            return leading
        matches = {
            match.name: State.joined({"learner": match.learner.state(), "match": match.of_test()})
            for match in self._matches
        }
        facts: Facts = {
            "leads": self._leads,
            "decided": decided,
            "entered_with": {name: challenger.entered_with for name, challenger in self._challengers.items()},
        }
        contest = State.joined({_PART: State.joined({"matches": State.joined(matches)}, facts)})
        return State({**leading.arrays, **contest.arrays}, {**leading.facts, **contest.facts})

    def restore(self, state: State) -> None:
        """Continue from a state. A challenger that is new, or whose settings are, begins as it is: with nothing learnt,
        if it has not been updated before.

        Raises StateMismatchError, and changes nothing, if the state does not fit the model that leads in it.
        """
        leading, told = _apart(state)
        leads = told.facts["leads"]
        if leads != LEADER and leads not in self._challengers:
            raise StateMismatchError(
                f"challengers: {leads} leads, and the settings do not name it any more. Nothing was changed. Name it "
                "again, or give a new --state directory."
            )
        (self._own if leads == LEADER else self._challengers[leads].learner).restore(leading)
        self._leads = leads
        known, standing = self._known(told), told.part("matches")
        self._decided = Decisions(one for one in told.facts["decided"] if one["challenger"] in known | {leads, TRIAL})
        over = self._decided.names | {leads}
        fresh = {name: one.match(self._spec) for name, one in self._challengers.items() if name not in over}
        self._matches = [self._taken_up(one, standing) if name in known else one for name, one in fresh.items()]
        if TRIAL in standing.facts:
            self._take_up_trial(standing)

    def go_back(self, state: State, samples: int) -> Sequence[Event]:
        """Continue from an earlier state of this process or of one before, behind `samples` of the stream.

        A challenger that has learnt something since then, which the state does not know, is called off, and so is a
        trial. Return what is decided by that, and which decisions are taken back.
        """
        before, trial = self._decided, self._on_trial
        self.restore(state)
        events = before.taken_back(self._decided, samples)
        if trial is not None and (self._on_trial is None or TRIAL in {one.data["challenger"] for one in events}):
            events.append(trial.event("called off", samples))
            self._decided.add(events[-1])
        known = self._known(_apart(state)[1]) | {TRIAL}
        late = [match for match in self._matches if match.name not in known]
        return [*events, *(self._end(match, "called off", samples) for match in late)]

    def _known(self, told: State) -> set[str]:
        """Return the challengers that a state knows, with the settings that they have now."""
        then = told.facts["entered_with"]
        return {name for name, one in self._challengers.items() if then.get(name) == one.entered_with}

    def _taken_up(self, match: Match, standing: State) -> Match:
        """Return a match as it stands in a state; as it begins if the challenger's model has changed since."""
        part, fresh = standing.part(match.name), match.of_test()
        try:
            match.restore_test(part.part("match"))
            match.learner.restore(part.part("learner"))
        except StateMismatchError as error:
            match.restore_test(fresh)
            log.warning(
                "challenger_anew", name=match.name, reason=str(error), consequence="it begins with nothing learnt"
            )
        return match

    def _take_up_trial(self, standing: State) -> None:
        if self._copy is None:
            log.warning("trial_dropped", consequence="no rule under reactions names trial any more; the model stays")
            return
        self._matches.append(self._taken_up(self._trial(self._copy, samples=1), standing))  # the state has its terms

    # Of the one that leads.

    @property
    def max_updates(self) -> int:
        return min(learner.max_updates for learner in self._built())

    @property
    def model(self) -> Any:
        """The Keras model that leads."""
        return self.leader.model

    @property
    def served_otherwise(self) -> tuple[str, str] | None:
        return self.leader.served_otherwise

    @property
    def trainable_parameters(self) -> int:
        return self.leader.trainable_parameters

    @property
    def info(self) -> Mapping[str, str]:
        return self.leader.info

    @property
    def learning_rate(self) -> float:
        return self.leader.learning_rate

    @property
    def traces(self) -> int:
        return sum(learner.traces for learner in self._built())

    @property
    def trial_samples(self) -> int:
        return self.leader.trial_samples

    @property
    def phase(self) -> int:
        return self.leader.phase

    @property
    def phase_ends_on(self) -> str | None:
        return self.leader.phase_ends_on

    def next_phase(self, cause: str, samples: int) -> PhaseBegun | None:
        """Begin the next phase of the model that leads, and of the challengers that are in the same one."""
        alike = [match.learner for match in self._matches if match.learner.phase == self.leader.phase]
        begun = self.leader.next_phase(cause, samples)
        if begun is not None:
            for learner in alike:
                learner.next_phase(cause, samples)
        return begun

    def phase_from(self, cause: str, samples: int) -> PhaseBegun:
        return self.leader.phase_from(cause, samples)

    def predict(self, inputs: Arrays) -> Arrays:
        return self.leader.predict(inputs)

    def export(self, path: Path) -> list[str]:
        return self.leader.export(path)

    def metric_results(self) -> dict[str, float]:
        return self.leader.metric_results()

    def shares(self) -> dict[str, float]:
        return self.leader.shares()

    def memory(self) -> Facts:
        return self.leader.memory()

    def boost(self, factor: float, over: int) -> None:
        self.leader.boost(factor, over)

    def slow_down(self, factor: float) -> None:
        self.leader.slow_down(factor)

    def reset_moments(self) -> None:
        self.leader.reset_moments()

    def refit_standardization(self) -> None:
        self.leader.refit_standardization()

    def refit_helps(self, recent: Samples) -> bool:
        return self.leader.refit_helps(recent)


def _apart(state: State) -> tuple[State, State]:
    """Return the state of the model that leads, and what is of the contest."""
    prefix = f"{_PART}/"
    arrays = {name: array for name, array in state.arrays.items() if not name.startswith(prefix)}
    leading = State(arrays, {name: fact for name, fact in state.facts.items() if name != _PART})
    nothing = {"leads": LEADER, "decided": [], "entered_with": {}, "matches": {}}
    return leading, State(state.arrays, {_PART: {**nothing, **state.facts.get(_PART, {})}}).part(_PART)
