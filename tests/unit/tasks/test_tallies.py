from __future__ import annotations

import math
import random
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from learnd.daemon.evaluation.scoreboard import kappa_temporal
from learnd.daemon.tasks.probabilities import Auc, LogLoss, _bin
from learnd.daemon.tasks.tallies import BinaryCounts, ClassCounts, ErrorSums, LabelCounts


@pytest.mark.parametrize("seed", range(5))
def test_binary_counts_agree_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual, predicted = rng.random(997) < 0.3, rng.random(997) < 0.4
    tally = BinaryCounts()
    tally.add(predicted, actual)
    assert tally.scores() == pytest.approx(
        {
            "accuracy": reference.accuracy_score(actual, predicted),
            "precision": reference.precision_score(actual, predicted),
            "recall": reference.recall_score(actual, predicted),
            "f1": reference.f1_score(actual, predicted),
            "kappa": reference.cohen_kappa_score(actual, predicted),
        },
        rel=1e-12,
    )


@pytest.mark.parametrize("classes", [2, 7, 50])
def test_class_counts_agree_with_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    actual = rng.integers(0, classes - 1, 300).astype(np.int32)  # the last class never comes
    predicted = np.where(rng.random(300) < 0.6, actual, rng.integers(0, classes, 300)).astype(np.int32)
    tally = ClassCounts(classes)
    tally.add(predicted, actual)
    averages = {"average": "macro", "zero_division": 0}
    assert tally.scores() == pytest.approx(
        {
            "accuracy": reference.accuracy_score(actual, predicted),
            "macro_precision": reference.precision_score(actual, predicted, **averages),
            "macro_recall": reference.recall_score(actual, predicted, **averages),
            "macro_f1": reference.f1_score(actual, predicted, **averages),
            "kappa": reference.cohen_kappa_score(actual, predicted),
        },
        rel=1e-12,
    )


def test_label_counts_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    actual, predicted = rng.random((400, 5)) < 0.3, rng.random((400, 5)) < 0.3
    tally = LabelCounts(5)
    tally.add(predicted, actual)
    assert tally.scores() == pytest.approx(
        {
            "accuracy": 1 - reference.hamming_loss(actual, predicted),
            "micro_f1": reference.f1_score(actual, predicted, average="micro"),
            "macro_f1": reference.f1_score(actual, predicted, average="macro"),
        },
        rel=1e-12,
    )


def test_a_label_that_never_comes_does_not_count_in_the_macro_f1() -> None:
    tally = LabelCounts(2)
    tally.add(np.array([[True, False]]), np.array([[True, False]]))
    assert tally.scores()["macro_f1"] == 1


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 1.0), (1e6, 1.0), (-3.0, 1e-4)])
def test_error_sums_agree_with_scikit_learn(offset: float, spread: float) -> None:
    rng = np.random.default_rng(2)
    actual = (offset + spread * rng.normal(size=(500, 2))).astype(np.float32)
    predicted = (actual + spread * rng.normal(size=(500, 2))).astype(np.float32)
    tally = ErrorSums(2)
    for start in range(0, 500, 77):
        tally.add(predicted[start : start + 77], actual[start : start + 77])
    truth, guess = actual.astype(np.float64), predicted.astype(np.float64)
    assert tally.scores() == pytest.approx(
        {
            "mae": reference.mean_absolute_error(truth, guess),
            "rmse": reference.root_mean_squared_error(truth, guess),
            "r2": reference.r2_score(truth, guess),
        },
        rel=1e-9,
    )


def test_r2_is_absent_while_the_label_has_not_changed() -> None:
    tally = ErrorSums(1)
    tally.add(np.zeros((1000, 1), np.float32), np.full((1000, 1), 0.1, np.float32))
    assert set(tally.scores()) == {"mae", "rmse"}


def test_log_loss_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    probability = rng.random(800).astype(np.float32)
    actual = rng.random(800) < probability
    binary = LogLoss(of_truth=False)
    binary.add(probability[:300], actual[:300])
    binary.add(probability[300:], actual[300:])
    expected = reference.log_loss(actual, probability.astype(np.float64))
    assert binary.scores()["log_loss"] == pytest.approx(expected, abs=1e-9)

    classes = rng.dirichlet(np.ones(4), 800).astype(np.float32)
    label = rng.integers(0, 4, 800)
    of_truth = LogLoss(of_truth=True)
    of_truth.add(classes[np.arange(800), label], label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows of float32 do not add up to 1 in float64
        expected = reference.log_loss(label, classes.astype(np.float64), labels=range(4))
    assert of_truth.scores()["log_loss"] == pytest.approx(expected, abs=1e-6)


def test_a_sure_and_wrong_prediction_costs_16_nats_and_no_infinity() -> None:
    tally = LogLoss(of_truth=False)
    tally.add(np.array([0, 1, 0, 1], np.float32), np.array([True, False, False, True]))
    assert tally.scores()["log_loss"] == pytest.approx(-math.log(1e-7) / 2)


def test_the_log_loss_carries_from_fractions_to_whole_nats() -> None:
    tally = LogLoss(of_truth=True)
    probability = np.full(1000, 0.5, np.float32)
    for _ in range(50):
        tally.add(probability, probability)
    assert tally.arrays["loss"].tolist()[::2] == [math.floor(50_000 * math.log(2)), 50_000]
    assert tally.scores()["log_loss"] == pytest.approx(math.log(2), abs=1e-9)


@pytest.mark.parametrize("power", [0.3, 1, 8])
def test_the_binned_auc_is_close_to_the_exact_one(power: float) -> None:
    rng = np.random.default_rng(4)
    actual = rng.random(5000) < 0.2
    probability = (rng.beta(2 + actual, 3, 5000) ** power).astype(np.float32)
    for given_ in (probability, 1 - probability):
        tally = Auc()
        tally.add(given_, actual)
        assert tally.scores()["auc"] == pytest.approx(reference.roc_auc_score(actual, given_), abs=1e-3)


def test_the_auc_counts_ties_half() -> None:
    tally = Auc()
    tally.add(np.full(4, 0.25, np.float32), np.array([True, False, False, True]))
    assert tally.scores() == {"auc": 0.5}


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=50))
def test_bins_never_fall_where_the_probability_rises(values: list[float]) -> None:
    bins = _bin(np.array(sorted(values), np.float32))
    assert (np.diff(bins) >= 0).all()


def test_bins_reach_from_the_first_to_the_last_and_are_narrow() -> None:
    edges = np.array([0, 1], np.float32)
    assert _bin(edges).tolist() == [0, len(Auc().arrays["bins"]) // 2 - 1]
    grid = np.linspace(0.25, 0.75, 513, dtype=np.float32)
    assert (np.diff(_bin(grid)) >= 1).all()
    near_one = np.float32(1) - np.float32(2.0) ** -np.arange(2, 25, dtype=np.float32)
    assert (np.diff(_bin(near_one)) >= 1).all()


def test_one_class_alone_leaves_out_what_is_undefined() -> None:
    nothing = np.zeros(5, np.bool_)
    counts, auc = BinaryCounts(), Auc()
    counts.add(nothing, nothing)
    auc.add(np.full(5, 0.1, np.float32), nothing)
    assert counts.scores() == {"accuracy": 1.0}
    assert auc.scores() == {}


@pytest.mark.parametrize(
    "tally", [BinaryCounts(), ClassCounts(3), LabelCounts(2), ErrorSums(1), LogLoss(of_truth=True), Auc()]
)
def test_without_samples_there_are_no_scores(tally: BinaryCounts) -> None:
    assert tally.scores() == {}


def test_kappa_temporal_is_against_no_change() -> None:
    assert kappa_temporal(0.9, 0.8) == pytest.approx(0.5)
    assert kappa_temporal(0.7, 0.8) == pytest.approx(-0.5)
    assert kappa_temporal(0.7, 1.0) is None


def test_kappa_is_the_exact_quotient() -> None:
    random.seed(5)
    pairs = [(random.random() < 0.5, random.random() < 0.5) for _ in range(101)]
    tally = BinaryCounts()
    tally.add(np.array([guess for guess, _ in pairs]), np.array([truth for _, truth in pairs]))
    agreed = Fraction(sum(guess == truth for guess, truth in pairs), 101)
    guesses, truths = (Fraction(sum(side), 101) for side in zip(*pairs, strict=True))
    chance = guesses * truths + (1 - guesses) * (1 - truths)
    assert tally.scores()["kappa"] == float((agreed - chance) / (1 - chance))
