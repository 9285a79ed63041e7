"""A single match: what of two models is compared, and states that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from learners import NUMBERS, call, learner

from learnd.daemon.contest.match import Match, Terms
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.values import LABEL, Call, ClassNames, Report, SampleSpec, TargetSpec, Task

N = 200
LEARNT = SampleSpec.of_columns(NUMBERS.columns, Task("classes", 4, 1, learnt=True))
TERMS = Terms(0, 10_000, 0.01)


def match(spec: SampleSpec) -> Match:
    return Match("other", learner(NUMBERS, {"preset": "linear"}), TERMS, spec)


def said(outputs: Any) -> Report:
    given = np.asarray(outputs, np.float32)[:, None]
    nothing = np.zeros(len(given), np.float32)
    return Report({LABEL: given}, nothing, nothing, nothing.astype(np.uint8))


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("nothing", [np.inf, -np.inf, np.nan])
def test_a_prediction_that_is_not_finite_loses(kind: str, nothing: float) -> None:
    spec = SampleSpec.of_columns(NUMBERS.columns, Task(kind, 1, 1))
    given = call(0, N, 1, 4, y=np.full((N, 1), nothing > 0, np.float32))
    none, some = said(np.full((N, 1), nothing)), said(np.full((N, 1), 0.5))
    decided = match(spec).follow(given, none, some), match(spec).follow(given, some, none)
    assert [one and one.outcome for one in decided] == ["promoted", "lost"]


def of_learnt_classes() -> tuple[Call, Report, Report]:
    """Three classes come one after the other. Only with the units of those that came is the first model better."""
    labels = np.random.default_rng(1).integers(0, np.minimum(1 + np.arange(N) // 40, 3)).astype(np.float32)[:, None]
    given = replace(call(0, N, 1, 4, y=labels), classes=ClassNames(["a", "b", "c"], 1))
    right = np.eye(4)[labels[:, 0].astype(int)]
    return given, said(0.3 * right + [0, 0, 0, 0.7]), said(0.8 * right + 0.2 * right[:, [1, 2, 0, 3]])


def test_of_learnt_classes_those_that_have_trained_are_compared_as_they_are_scored() -> None:
    given, one, other = of_learnt_classes()
    scores = []
    for report in (one, other):
        board = Prequential(LEARNT.task, [], None)
        board.add(report.outputs[LABEL][:, 0], given.batches.targets[LABEL][:, 0])
        scores.append(board.overall.scores()["log_loss"])
    assert scores[0] < scores[1]
    whole, cut = match(LEARNT), match(LEARNT)
    whole.follow(given, one, other)
    assert whole.standing()["lead"] < 0
    for start, end in ((0, 1), (1, 90), (90, N)):
        cut.follow(given.part(start, end), *(said(report.outputs[LABEL][start:end, 0]) for report in (one, other)))
    assert cut.of_test() == whole.of_test()


def test_a_state_of_other_targets_is_refused_and_changes_nothing() -> None:
    two = replace(NUMBERS, targets=(*NUMBERS.targets, TargetSpec("more", Task("binary", 1, 1))))
    one = match(NUMBERS)
    before = one.of_test()
    with pytest.raises(StateMismatchError):
        one.restore_test(Match("other", one.learner, Terms(7, 8, 0.1), two, "boost").of_test())
    assert one.of_test() == before
    assert one.tries == ""
