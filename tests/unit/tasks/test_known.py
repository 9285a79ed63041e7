"""Scores of a model with room for more classes than have come."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.tasks.known import Known, among_known
from learnd.daemon.values import Task, known_before

LEARNT = Task("classes", 5, 1, learnt=True)


def test_how_many_are_known_is_counted_before_each_label() -> None:
    known = Known()
    assert known.follow(np.array([0, 0, 2, 1])).tolist() == [0, 1, 1, 3]
    assert known.follow(np.array([], np.int32)).tolist() == []
    assert known.stand(np.array([0, 4])).tolist() == [3, 3]
    assert known.follow(np.array([3])).tolist() == [3]


@pytest.mark.parametrize(
    ("labels", "known", "expected"),
    [([0, 0, 2, 1], 0, [0, 1, 1, 3, 3]), ([0, 4], 3, [3, 3, 5]), ([], 2, [2])],
)
def test_one_function_counts_them(labels: list[int], known: int, expected: list[int]) -> None:
    assert known_before(np.array(labels, np.float32), known).tolist() == expected


def test_what_is_not_known_has_no_share() -> None:
    outputs = np.array([[0.2, 0.2, 0.6], [0.2, 0.2, 0.6], [0.0, 0.5, 0.5]], np.float32)
    found = among_known(outputs, np.array([0, 2, 1]))
    np.testing.assert_allclose(found, [[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]])


def test_units_without_a_class_count_in_no_score() -> None:
    """By hand: the first sample has no prediction, the third is new, an error without a log loss."""
    outputs = np.array(
        [[0.1, 0.1, 0.1, 0.1, 0.6], [0.1, 0.1, 0.1, 0.1, 0.6], [0.1, 0.1, 0.1, 0.1, 0.6], [0.1, 0.3, 0.1, 0.1, 0.4]],
        np.float32,
    )
    scored = Prequential(LEARNT, [10], None)
    scored.add(outputs, np.array([[0], [0], [1], [1]], np.float32))
    for board in (scored.overall, scored.window(10)):
        assert (board.scored, board.unscored) == (3, 1)
        assert board.scores()["accuracy"] == pytest.approx(2 / 3)
        assert board.scores()["log_loss"] == pytest.approx((0 - math.log(0.75)) / 2, abs=1e-6)
        assert board.baselines()["priors"]["log_loss"] == pytest.approx((0 - math.log(2 / 5)) / 2, abs=1e-6)
        assert board.baselines()["no_change"]["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("room", [3, 9, 60])
def test_the_scores_are_those_of_a_model_without_room_to_spare(room: int) -> None:
    rng = np.random.default_rng(4)
    labels = np.concatenate(([0, 1, 2], rng.integers(0, 3, 300)))[:, None].astype(np.float32)
    shares = rng.dirichlet(np.ones(3), len(labels)).astype(np.float32)
    wide = np.full((len(labels), room), 0, np.float32)
    wide[:, :3] = shares * (0.5 if room > 3 else 1)
    wide[:, 3:] = 0.5 / max(room - 3, 1)
    known, learnt = Prequential(Task("classes", 3, 1), [], None), Prequential(_with_room(room), [], None)
    known.add(shares, labels)
    learnt.add(wide, labels)
    assert learnt.overall.scored == known.overall.scored - 1
    one, other = known.overall, learnt.overall
    assert other.scores()["accuracy"] == pytest.approx(one.scores()["accuracy"], abs=0.01)
    assert other.scores()["log_loss"] == pytest.approx(one.scores()["log_loss"], abs=0.03)


def _with_room(room: int) -> Task:
    return Task("classes", room, 1, learnt=True)
