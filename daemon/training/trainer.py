"""Trains a call in parts. Each part but the last ends after an update that makes a rule act.

A rule must act right after the update that calls for it, however updates are grouped into calls: a network adapts to
most of a drift by itself within a few hundred samples. So if a rule is to act in the middle of a call, the learner goes
back to its state before the call and runs the updates up to that point once more. Then the rule acts, and then the rest
of the call runs. The journal does not record it: when the call is repeated, it is divided in the same way.

That costs little. What a call brings along, features and labels, is watched before it runs, so that it ends there at
once. What only its predictions show is looked for in pieces of the call, as long as it takes rules to act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from learnd.daemon.contracts import Adaptable
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.foundation.shares import spending
from learnd.daemon.values import Call, Event, JournalEntry, PhaseBegun, Report

_LEAST_PIECE = 256  # updates


@dataclass(frozen=True, slots=True)
class Part:
    """Updates of a call that have run, with their report and the events found in them."""

    call: Call
    report: Report
    found: Sequence[Event]
    ended_on: str | None  # what ends the phase that the part began in

    def phase_end(self, event: Event) -> str | None:
        """Return what ends the phase in which an event of this part happened."""
        return phase_end(self.ended_on, self.report.phases, event)


class Watch(Protocol):
    """Looks for events in updates."""

    def ahead(self, call: Call, halts: Callable[[Event], bool]) -> int:
        """Return how many updates of a call may run: up to the first event that `halts` and needs no report."""

    def watch(self, call: Call, report: Report, halts: Callable[[Event], bool] | None) -> tuple[int, list[Event]]:
        """Look at the updates of a call, up to and including the first one with an event that `halts`.

        Return how many updates were looked at, and the events found in them.
        """


class Trainer:
    """Runs calls on the learner, and lets `watch` look at their updates.

    `acts_at_once(event, phase_end)` says whether a rule acts on an event within the call; None if no rule ever does.
    """

    def __init__(
        self, learner: Adaptable, watch: Watch, acts_at_once: Callable[[Event, str | None], bool] | None
    ) -> None:
        self._learner = learner
        self._watch = watch
        self._acts_at_once = acts_at_once
        self._between, self._since = 1 << 62, 0  # updates: between the last two divisions of calls, and since the last

    def check_model_of(self, entries: Sequence[JournalEntry]) -> None:
        """Raise StateMismatchError if the journal has calls that ran on a model which was built in another way."""
        if entries and self._learner.changes:
            raise StateMismatchError(
                f"the journal has {len(entries)} calls to repeat, which would train differently now: the model is "
                "built in another way than when they ran:\n  "
                + "\n  ".join(self._learner.changes)
                + "\nNothing was changed. Start once with the model as it was, stop, and change it then."
            )

    def parts(self, call: Call) -> Iterator[Part]:
        """Train a call, and yield its parts: a single one, unless rules act within calls."""
        done = 0
        while True:
            part = self._train(call.part(done, min(done + self._piece, call.updates)))
            yield part
            done += part.call.updates
            if done == call.updates:
                return

    @property
    def _piece(self) -> int:
        """How many updates to run before looking: the more often calls are divided, the fewer. Changes no result."""
        return max(max(self._between, self._since) // 4, _LEAST_PIECE)

    def _train(self, call: Call) -> Part:
        """Train the updates of a call, up to and including the first one that makes a rule act."""
        ends_on = self._learner.phase_ends_on
        if (halts := self._halts(ends_on, ())) is not None:
            with spending("watching"):
                call = call.part(0, self._watch.ahead(call, halts))
        with spending("updating"):
            report = self._learner.update(call)
        with spending("watching"):
            updates, found = self._watch.watch(call, report, self._halts(ends_on, report.phases))
        self._since += updates
        if updates < call.updates:
            self._between, self._since = self._since, 0
            call = call.part(0, updates)
            with spending("repeating"):
                self._learner.undo()
                report = self._learner.update(call)
        return Part(call, report, found, ends_on)

    def _halts(self, ends_on: str | None, phases: Sequence[PhaseBegun]) -> Callable[[Event], bool] | None:
        acts = self._acts_at_once
        return None if acts is None else lambda event: acts(event, phase_end(ends_on, phases, event))


def phase_end(first: str | None, phases: Sequence[PhaseBegun], event: Event) -> str | None:
    """Return what ends the phase of an event: `first` for the phase at the start, else that of one of `phases`."""
    return next((phase.ends_on for phase in reversed(phases) if phase.samples < event.samples), first)
