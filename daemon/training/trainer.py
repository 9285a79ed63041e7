"""Trains a call in parts, each of which ends behind an update that makes a rule act.

What a rule does must happen behind the same update however updates are grouped into calls, and at once: a network has
adapted to most of a drift by itself within some hundred samples. So if a rule is to act in the middle of a call, the
learner goes back to what it was before, and runs the updates up to there once more; then the rule acts; then the
rest runs. That is rare, costs a call at most, and leaves calls as long as they are. The journal knows nothing of it:
the same call is divided in the same way when it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from learnd.daemon.contracts import Adaptable
from learnd.daemon.values import Call, Event, PhaseBegun, Report


@dataclass(frozen=True, slots=True)
class Part:
    """Updates that ran, what they gave, and what was found in them."""

    call: Call
    report: Report
    found: Sequence[Event]
    ended_on: str | None  # what ends the phase that it began in

    def phase_end(self, event: Event) -> str | None:
        """Return what ends the phase that an event of this part came in."""
        return phase_end(self.ended_on, self.report.phases, event)


class Watch(Protocol):
    """Who looks at updates."""

    def watch(self, call: Call, report: Report, halts: Callable[[Event], bool] | None) -> tuple[int, list[Event]]:
        """Look at the updates of a call, up to the first one behind which an event `halts`, if there is one.

        Return how many updates were looked at, and what was found in them.
        """


class Trainer:
    """Runs calls on the learner while `watch` looks. `acts_at_once(event, phase_end)` says whether a rule acts on it;
    None if no rule ever does.
    """

    def __init__(
        self, learner: Adaptable, watch: Watch, acts_at_once: Callable[[Event, str | None], bool] | None
    ) -> None:
        self._learner = learner
        self._watch = watch
        self._acts_at_once = acts_at_once

    def parts(self, call: Call) -> Iterator[Part]:
        """Train a call, and yield it part by part: all of it, unless a rule acts within it."""
        done = 0
        while True:
            part = self._train(call.part(done, call.updates) if done else call)
            yield part
            done += part.call.updates
            if done == call.updates:
                return

    def _train(self, call: Call) -> Part:
        """Train the updates of a call up to one behind which a rule acts."""
        ends_on = self._learner.phase_ends_on
        report = self._learner.update(call)
        updates, found = self._watch.watch(call, report, self._halts(ends_on, report.phases))
        if updates < call.updates:
            self._learner.undo()
            call = call.part(0, updates)
            report = self._learner.update(call)
        return Part(call, report, found, ends_on)

    def _halts(self, ends_on: str | None, phases: Sequence[PhaseBegun]) -> Callable[[Event], bool] | None:
        acts = self._acts_at_once
        return None if acts is None else lambda event: acts(event, phase_end(ends_on, phases, event))


def phase_end(first: str | None, phases: Sequence[PhaseBegun], event: Event) -> str | None:
    """Return what ends the phase that an event came in, of that which was on before and those that have begun since."""
    return next((phase.ends_on for phase in reversed(phases) if phase.samples < event.samples), first)
