"""The outcomes of reactions: the mean error before and after each."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.values import Event, Facts, Float64, State

SAMPLES = 1_000  # before and after a reaction, for the mean errors


class Outcomes:
    """Keeps the latest errors, and reports the mean errors before and after each reaction."""

    def __init__(self) -> None:
        self._errors: Float64 = np.zeros(0)
        self._open: list[Facts] = []

    def add(self, errors: Float64, samples: int) -> list[Event]:
        """Take in errors, NaN for samples without one. `samples` samples came before them.

        Return the outcomes of the reactions that are `SAMPLES` samples ago by now.
        """
        known = np.concatenate((self._errors, errors))
        self._errors = known[-SAMPLES:]
        done = [entry for entry in self._open if samples + len(errors) >= entry["at"] + SAMPLES]
        self._open = [entry for entry in self._open if entry not in done]
        return [
            _outcome(entry, known[: len(known) - (samples + len(errors) - entry["at"] - SAMPLES)]) for entry in done
        ]

    def reacted(self, rule: int, on: str, samples: int) -> float | None:
        """Start to follow a reaction. Return the mean error before it; None if there are no errors."""
        before = _mean(self._errors)
        self._open.append({"rule": rule, "on": on, "at": samples, "before": before})
        return before

    def state(self) -> State:
        return State({"errors": self._errors.copy()}, {"open": [dict(entry) for entry in self._open]})

    def restore(self, state: State) -> None:
        self._errors = np.array(state.arrays["errors"])
        self._open = [dict(entry) for entry in state.facts["open"]]


def _outcome(entry: Facts, errors: Float64) -> Event:
    """Return the outcome of a reaction, given the errors up to `SAMPLES` samples after it."""
    data: dict[str, Any] = {"rule": entry["rule"], "on": entry["on"], "reacted_at": entry["at"]}
    around = {"error_before": entry["before"], "error_after": _mean(errors[-SAMPLES:])}
    return Event("reaction.outcome", entry["at"] + SAMPLES, data | around)


def _mean(errors: Float64) -> float | None:
    known = errors[np.isfinite(errors)]
    return float(running_sum(np.zeros(()), known)[-1] / len(known)) if len(known) else None
