"""What became of challengers and of trials."""

from __future__ import annotations

from collections.abc import Iterable

from learnd.daemon.contest.match import TAKEN_BACK
from learnd.daemon.contest.settings import TRIAL
from learnd.daemon.values import Event, Facts

_MOST_TRIALS = 50


class Decisions:
    """How matches have ended, as the history tells it, in order: all of challengers, and the latest of trials.

    Those that hold: a rollback takes back what was decided behind the good copy.
    """

    def __init__(self, facts: Iterable[Facts] = ()) -> None:
        self._facts = list(facts)

    def facts(self) -> list[Facts]:
        """Return each with its sample count."""
        return [dict(one) for one in self._facts]

    @property
    def names(self) -> set[str]:
        """Of those whose match is over."""
        return {one["challenger"] for one in self._facts}

    def add(self, event: Event) -> None:
        """Take in the line of the history that says how a match has ended."""
        self._facts.append({"samples": event.samples, **event.data})
        trials = [one for one in self._facts if one["challenger"] == TRIAL]
        if len(trials) > _MOST_TRIALS:
            self._facts.remove(trials[0])

    def taken_back(self, left: Decisions, samples: int) -> list[Event]:
        """Return the lines of the history that say which of these are not `left`."""
        return [_line(one, samples) for one in self._facts if one not in left._facts]


def _line(fact: Facts, samples: int) -> Event:
    about: Facts = {key: fact[key] for key in ("challenger", "of") if key in fact}
    return Event(
        "contest", samples, {**about, "outcome": TAKEN_BACK, "was": fact["outcome"], "decided_at": fact["samples"]}
    )
