"""One challenger against the model that leads."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from learnd.daemon.contest.paired import PairedTest
from learnd.daemon.contracts import Contender
from learnd.daemon.tasks.contract import ErrorRange
from learnd.daemon.tasks.scoring import losses, scoring_of
from learnd.daemon.values import Arrays, Call, Event, Facts, Float64, Report, SampleSpec, State, TargetSpec

Outcome: TypeAlias = Literal["promoted", "lost", "undecided", "called off"]
TAKEN_BACK = "taken back"
"""What the history says of a decision that a rollback undoes."""

OUTCOMES = (*get_args(Outcome), TAKEN_BACK)


@dataclass(frozen=True, slots=True)
class Terms:
    """How a challenger is judged: not on its first `warm_up` samples, on `samples` then, with an error of `level`."""

    warm_up: int
    samples: int
    level: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What a match comes to, behind so many updates of a call."""

    updates: int
    outcome: Outcome


class Match:
    """A challenger, and the test of how it does."""

    def __init__(self, name: str, learner: Contender, terms: Terms, spec: SampleSpec, tries: str = "") -> None:
        """`tries` names the change that a copy of the model tries."""
        self.name = name
        self.learner = learner
        self.tries = tries
        self._terms, self._spec = terms, spec
        self._left = terms.warm_up
        self.begin_again()

    def standing(self) -> Facts:
        """Return how it stands, for metrics and `/status`."""
        return {"compared": self._test.samples, "lead": self._test.lead, "evidence": self._test.evidence}

    def event(self, outcome: Outcome, samples: int) -> Event:
        """Return the line of the history that says how it ended."""
        about = {"challenger": self.name, **({"of": self.tries} if self.tries else {})}
        return Event("contest", samples, {**about, "outcome": outcome, **self.standing()})

    def begin_again(self) -> None:
        """Compare with the model that leads from here on."""
        self._test = PairedTest(self._terms.level, len(self._spec.targets))

    def follow(self, call: Call, leading: Report, challenging: Report) -> Decision | None:
        """Compare the predictions of a call; return what they decide."""
        warm = min(self._left, call.samples)
        self._left -= warm
        judged = slice(warm, min(warm + self._terms.samples - self._test.samples, call.samples))
        losses = (_losses(self._spec, call, report.outputs)[judged] for report in (leading, challenging))
        found = self._test.scan(*losses, bounded=[not _unbounded(target) for target in self._spec.targets])
        if found is not None:
            index, verdict = found
            return Decision(-(-(warm + index + 1) // call.rows), "promoted" if verdict == "won" else "lost")
        if self._test.samples >= self._terms.samples:
            return Decision(-(-judged.stop // call.rows), "undecided")
        return None

    def of_test(self) -> State:
        """Return the state without that of the learner."""
        facts = {"terms": list(astuple(self._terms)), "left": self._left, "tries": self.tries}
        return State.joined({"test": self._test.state()}, facts)

    def restore_test(self, state: State) -> None:
        """Continue from a state. The terms are those that the match began with.

        Raises StateMismatchError, and changes nothing, if it is of other targets.
        """
        terms = Terms(*state.facts["terms"])
        test = PairedTest(terms.level, len(self._spec.targets))
        test.restore(state.part("test"))
        self._terms, self._left, self.tries, self._test = terms, state.facts["left"], state.facts["tries"], test


def _losses(spec: SampleSpec, call: Call, outputs: Arrays) -> Float64:
    """Return the loss (m, targets) of each sample of a call: NaN if a prediction is not finite."""
    outputs, labels = call.in_a_row(outputs), call.in_a_row(call.batches.targets)
    known = None if call.known is None else call.known[:-1]
    each = [losses(target.task, outputs[target.name], labels[target.name], known) for target in spec.targets]
    return np.stack(each, axis=1)


def _unbounded(target: TargetSpec) -> bool:
    return scoring_of(target.task).error_range is ErrorRange.UNBOUNDED
