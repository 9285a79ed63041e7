from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.tasks import baselines
from learnd.daemon.tasks.baselines import (
    Baseline,
    ClassPriors,
    LabelPriors,
    MajorityClass,
    MajorityLabel,
    NoChange,
    RunningMean,
)


def most_frequent_before(labels: list[int], classes: int) -> list[int]:
    counts: Counter[int] = Counter()
    leaders = []
    for label in labels:
        leaders.append(max(range(classes), key=lambda c: (counts[c], -c)))
        counts[label] += 1
    return leaders


@given(labels=st.lists(st.integers(0, 5), max_size=80), cut=st.integers(0, 80))
def test_the_majority_class_is_the_most_frequent_before(labels: list[int], cut: int) -> None:
    baseline = MajorityClass(6)
    array = np.array(labels, np.int32)
    found = [*baseline.follow(array[:cut]), *baseline.follow(array[cut:])]
    assert found == most_frequent_before(labels, 6)
    assert int(baseline.guess()) == most_frequent_before([*labels, 0], 6)[-1]


def test_the_majority_class_of_many_classes_is_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_LEAST_ROWS", 7)
    monkeypatch.setattr(baselines, "_CELLS", 1)
    labels = np.random.default_rng(0).integers(0, 40, 500).astype(np.int32)
    assert MajorityClass(40).follow(labels).tolist() == most_frequent_before(labels.tolist(), 40)


@given(st.lists(st.booleans(), max_size=60))
def test_the_majority_of_a_binary_label(labels: list[bool]) -> None:
    found = MajorityLabel(()).follow(np.array(labels, np.bool_))
    assert found.tolist() == [bool(leader) for leader in most_frequent_before([int(label) for label in labels], 2)]


def test_the_majority_of_each_label_apart() -> None:
    labels = np.random.default_rng(1).random((50, 3)) < 0.5
    baseline = MajorityLabel((3,))
    found = np.concatenate((baseline.follow(labels[:20]), baseline.follow(labels[20:])))
    for column in range(3):
        expected = most_frequent_before(labels[:, column].astype(int).tolist(), 2)
        assert found[:, column].astype(int).tolist() == expected


def test_no_change_is_the_label_before() -> None:
    labels = np.array([[3], [1], [4], [1], [5]], np.float32)
    baseline = NoChange(np.zeros(1, np.float32))
    found = [*baseline.follow(labels[:2]), *baseline.follow(labels[2:2]), *baseline.follow(labels[2:])]
    assert np.array(found)[1:].tolist() == labels[:-1].tolist()
    assert baseline.guess() == 5


def test_the_running_mean_is_that_of_the_labels_before() -> None:
    labels = np.random.default_rng(2).normal(size=(100, 2)).astype(np.float32)
    baseline = RunningMean(2)
    found = np.concatenate((baseline.follow(labels[:33]), baseline.follow(labels[33:])))
    for row in range(1, 100):
        np.testing.assert_allclose(found[row], labels[:row].astype(np.float64).mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(baseline.guess(), labels.astype(np.float64).mean(axis=0), rtol=1e-9, atol=1e-12)


def test_no_baseline_keeps_a_view_of_what_it_was_given() -> None:
    labels = np.array([[1], [2]], np.float32)
    found: list[Baseline] = [NoChange(np.zeros(1, np.float32)), RunningMean(1)]
    for baseline in found:
        baseline.follow(labels)
        before = baseline.guess().copy()
        labels += 100
        assert (baseline.guess() == before).all()


@pytest.mark.parametrize("cuts", [[], [1, 2, 9], [150]])
def test_priors_give_a_class_the_share_that_it_had(cuts: list[int]) -> None:
    labels = np.random.default_rng(3).choice(4, 200, p=[0.6, 0.3, 0.1, 0]).astype(np.int32)
    of_classes, of_labels = ClassPriors(4), LabelPriors(())
    for part in np.split(labels, cuts):
        came = of_classes.follow(part)
        true = of_labels.follow(part == 0)
    start = cuts[-1] if cuts else 0
    for index in range(start, 200):
        before = labels[:index]
        assert came[index - start] == np.float32(((before == labels[index]).sum() + 1) / (index + 4))
        assert true[index - start] == np.float32(((before == 0).sum() + 1) / (index + 2))
    assert of_classes.stand(np.array([3, 0])).tolist() == pytest.approx([1 / 204, ((labels == 0).sum() + 1) / 204])
    assert of_labels.guess() == pytest.approx(((labels == 0).sum() + 1) / 202)


def test_priors_of_learnt_classes_are_among_those_that_came_before() -> None:
    """By hand, with labels 0 0 1 0 2: 1 of 1 class, then 3/4 of two, and nothing for a class that is new."""
    for cut in range(6):
        priors, labels = ClassPriors(20, learnt=True), np.array([0, 0, 1, 0, 2], np.int32)
        found = np.concatenate((priors.follow(labels[:cut]), priors.follow(labels[cut:])))
        np.testing.assert_allclose(found, [np.nan, 1, np.nan, 3 / 5, np.nan], rtol=1e-6)
        assert priors.guess() == np.float32(4 / 8)
        np.testing.assert_allclose(priors.stand(np.array([1, 2, 3], np.int32)), [2 / 8, 2 / 8, np.nan])
