"""What is said with predictions: intervals and sets that hold, calibrated probabilities, decisions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from learnd.daemon.evaluation.certainty.certainty import Certainty
from learnd.daemon.evaluation.certainty.conformal import Conformal
from learnd.daemon.evaluation.certainty.deciding import Threshold
from learnd.daemon.evaluation.certainty.settings import CertaintySettings
from learnd.daemon.evaluation.certainty.temperature import Temperature
from learnd.daemon.tasks.calibration import CalibrationError
from learnd.daemon.tasks.known import among_known
from learnd.daemon.values import Task

N = 20_000
BINARY = Task("binary", 1, 1, ("no", "yes"))
CLASSES = Task("classes", 3, 1, ("a", "b", "c"))
REGRESSION = Task("regression", 1, 1)
COST = {"cost": {"false_positive": 1, "false_negative": 20}}


def certainty(task: Task, windows: tuple[int, ...] = (1000,), **settings: Any) -> Certainty:
    return Certainty(CertaintySettings.model_validate(settings), task, windows)


def noise(kind: str) -> Any:
    rng = np.random.default_rng(3)
    steady, place = rng.normal(size=N), np.arange(N)
    return {
        "that stays": steady,
        "ten times as large at once": steady * np.where(place // 5000 % 2, 10, 1),
        "with seasons": steady * (1.2 + np.sin(place / 300)),
        "with a bias that comes and goes": steady + 4 * (place % 7000 < 500),
        "with heavy tails": rng.standard_t(2, size=N),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "that stays",
        "ten times as large at once",
        "with seasons",
        "with a bias that comes and goes",
        "with heavy tails",
    ],
)
def test_intervals_hold_the_share_that_was_asked_in_every_window(kind: str) -> None:
    labels = noise(kind).astype(np.float32)[:, None]
    found = certainty(REGRESSION, coverage=0.9)
    said = found.follow(np.zeros_like(labels), labels)
    assert said.low is not None
    assert said.high is not None
    held = ((said.low <= labels) & (labels <= said.high))[:, 0]
    assert found.window(1000)["coverage"] == held[-1000:].mean()
    windows = np.convolve(held, np.full(1000, 1 / 1000), "valid")
    assert windows[1:].min() >= 0.87
    assert windows.max() <= 0.93


def test_sets_of_classes_hold_the_share_that_was_asked_in_every_window() -> None:
    rng = np.random.default_rng(4)
    outputs = rng.dirichlet(np.full(3, 0.4), N).astype(np.float32)
    labels = np.array([rng.choice(3, p=row / row.sum()) for row in outputs.astype(np.float64)])
    labels[8000:9000] = rng.integers(0, 3, 1000)  # the model is worth nothing for a while
    found = certainty(CLASSES, coverage=0.9)
    said = found.follow(outputs, labels[:, None].astype(np.float32))
    assert said.members is not None
    held = said.members[np.arange(N), labels]
    assert found.window(1000)["coverage"] == held[-1000:].mean()
    windows = np.convolve(held, np.full(1000, 1 / 1000), "valid")
    assert windows[1:].min() >= 0.87
    assert windows.max() <= 0.93
    steady = said.members[1000:8000].sum(axis=1).mean()
    assert steady < 2.3, "sets are no larger than they have to be"


def test_a_threshold_is_an_order_statistic_whose_level_follows_the_misses() -> None:
    rng = np.random.default_rng(5)
    scores = rng.exponential(size=900)
    found = Conformal(0.9, 1, 0.0).follow(scores[:, None])[:, 0]
    level = 0.1
    assert np.isnan(found[0])
    for at in range(1, len(scores)):
        latest = np.sort(scores[max(0, at - 250) : at])
        rank = int(np.ceil((len(latest) + 1) * (1 - level)))
        expected = 0.0 if rank < 1 else latest[rank - 1] if rank <= len(latest) else 2 * latest[-1]
        assert found[at] == expected
        level += 0.04 * (0.1 - (scores[at] > expected))


def test_labels_that_are_always_right_make_intervals_of_no_width_and_no_debt() -> None:
    labels = np.zeros((3000, 1), np.float32)
    labels[2000:, 0] = np.random.default_rng(6).normal(size=1000)
    found = certainty(REGRESSION, coverage=0.9)
    said = found.follow(np.zeros_like(labels), labels)
    assert said.high is not None
    assert said.high[1999, 0] == 0
    held = np.abs(labels[2050:, 0]) <= said.high[2050:, 0]
    assert held.mean() > 0.87


def test_what_is_said_is_written_by_names_and_metrics_are_those_of_the_latest_samples() -> None:
    outputs, labels = np.full((60, 1), 0.8, np.float32), np.tile([[1.0], [1], [1], [0]], (15, 1)).astype(np.float32)
    outputs[10] = np.nan
    found = certainty(BINARY, (40,), coverage=0.6, decide="f1")
    rows = list(found.follow(outputs, labels).rows())
    assert rows[0] == {"set": None, "class": "yes"}
    assert rows[2] == {"set": ["yes"], "class": "yes"}
    assert rows[10] == {"set": None, "class": None}
    scores = found.window(40)
    assert set(scores) == {"coverage", "set_size", "threshold", "decided_f1"}
    assert scores["decided_f1"] == pytest.approx(2 * 30 / (2 * 30 + 10))
    held = [truth in (row["set"] or ()) for row, truth in zip(rows, np.where(labels[:, 0], "yes", "no"), strict=True)]
    assert scores["coverage"] == np.mean(held[20:])
    json.dumps(rows, allow_nan=False)


def test_several_numbers_have_an_interval_each() -> None:
    rng = np.random.default_rng(8)
    labels = (rng.normal(size=(2000, 2)) * [1, 50]).astype(np.float32)
    found = certainty(Task("regression", 2, 2), coverage=0.8)
    said = found.follow(np.zeros_like(labels), labels)
    (first, second) = list(said.rows())[-1]["interval"]
    assert 0.6 < first[1] < 2.5
    assert 30 < second[1] < 130
    assert found.window(1000)["coverage"] == pytest.approx(0.8, abs=0.02)


def test_a_class_that_is_new_is_in_no_set() -> None:
    task = Task("classes", 4, 1, learnt=True)
    outputs = np.full((50, 4), 0.25, np.float32)
    labels = (np.arange(50) // 25).astype(np.float32)[:, None]
    known = np.repeat([0, 1, 2], [1, 25, 24])
    said = certainty(task, coverage=0.9).follow(outputs, labels, known)
    assert said.members is not None
    assert not said.members[:, 2:].any()
    assert not said.members[25, 1]


@pytest.mark.parametrize(("new", "least", "most"), [(0.05, 0.88, 0.92), (0.2, 0.77, 0.8), (1, None, None)])
def test_what_is_told_of_sets_is_what_they_hold_where_classes_keep_coming(
    new: float, least: float | None, most: float | None
) -> None:
    rng = np.random.default_rng(16)
    count, window = 3000, 2000
    is_new = rng.random(count) < new
    is_new[0] = True
    known = np.cumsum(is_new) - is_new
    outputs = rng.dirichlet(np.full(is_new.sum(), 0.1), count).astype(np.float32)
    shares = among_known(outputs, known)
    drawn = (rng.random((count, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    labels = np.where(is_new, known, np.minimum(drawn, known - 1))
    found = certainty(Task("classes", outputs.shape[1], 1, learnt=True), (window,), coverage=0.9)
    said = found.follow(outputs, labels[:, None].astype(np.float32), known)
    assert said.members is not None
    held = said.members[np.arange(count), labels][-window:].mean()
    told = found.window(window).get("coverage")
    if least is None or most is None:
        assert told is None, "nothing is known of what sets would hold"
        assert not said.bounded.any()
    else:
        assert told == held
        assert least < held < most + 0.01


def test_a_miss_that_no_threshold_holds_moves_the_level_and_is_in_no_threshold() -> None:
    scores = np.tile([0.1, 0.2, 0.3, np.inf], 400)[:, None]
    found = Conformal(0.6, 1, -1.0)
    thresholds = found.follow(scores)[:, 0]
    assert np.isnan(thresholds[0])
    assert np.nanmax(thresholds) <= 0.6
    assert (scores[-400:, 0] > thresholds[-400:]).mean() == pytest.approx(0.4, abs=0.03)


def test_the_temperature_comes_to_the_one_that_is_best() -> None:
    rng = np.random.default_rng(9)
    logits = rng.normal(size=(N, 4)) * 3
    true = np.exp(logits / 2.5)
    true /= true.sum(axis=1, keepdims=True)
    labels = (rng.random((N, 1)) > true.cumsum(axis=1)).sum(axis=1)

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        total = np.log(np.exp(scaled).sum(axis=1))
        return float((total - scaled[np.arange(N), labels]).mean())

    best = float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))
    found = Temperature()
    given, temperatures = found.follow(logits, labels, np.ones(N, np.bool_))
    assert temperatures[0] == 1
    assert found.temperature == pytest.approx(best, rel=0.1)
    expected = np.exp(logits[-1] / temperatures[-1])
    np.testing.assert_allclose(given[-1], expected / expected.sum())


def test_calibration_makes_the_log_loss_and_the_calibration_error_of_a_cocksure_model_smaller() -> None:
    rng = np.random.default_rng(10)
    logits = rng.normal(size=N) * 1.5
    labels = (rng.random(N) < 1 / (1 + np.exp(-logits)))[:, None].astype(np.float32)
    outputs = (1 / (1 + np.exp(-3 * logits)))[:, None].astype(np.float32)
    found = certainty(BINARY, (5000,), calibrate="temperature")
    said = found.follow(outputs, labels)
    scores, before = found.window(5000), CalibrationError()
    before.add(outputs[-5000:, 0], labels[-5000:, 0] > 0)
    given = np.where(labels, outputs, 1 - outputs)[-5000:].astype(np.float64)
    assert scores["calibrated_log_loss"] < -np.log(np.maximum(given, 1e-7)).mean() - 0.1
    assert scores["calibrated_ece"] < 0.03
    assert before.scores()["ece"] > 0.1
    assert scores["temperature"] == pytest.approx(3, rel=0.1)
    assert ((said.outputs > 0.5) == (outputs > 0.5)).all()


def test_the_calibration_error_is_that_of_fifteen_bins() -> None:
    rng = np.random.default_rng(11)
    given = rng.random(5000).astype(np.float32)
    came = rng.random(5000) < given**2
    bins = np.minimum((given * 15).astype(int), 14)
    parts = [np.sum(bins == b) / 5000 * abs(given[bins == b].mean() - came[bins == b].mean()) for b in range(15)]
    found = CalibrationError()
    found.add(given, came)
    assert found.scores()["ece"] == pytest.approx(sum(parts), abs=1e-6)


@pytest.mark.parametrize("aim", [COST, "f1"])
def test_a_threshold_is_about_the_best_of_the_latest_samples(aim: Any) -> None:
    rng = np.random.default_rng(12)
    true = 1 / (1 + np.exp(-rng.normal(size=N) * 1.5 + 3))
    given, labels = true**2, rng.random(N) < true  # not calibrated
    settings = CertaintySettings.model_validate({"decide": aim})
    found = Threshold(None if aim == "f1" else settings.decide.cost)  # type: ignore[union-attr]
    found.follow(given, labels, np.ones(N, np.bool_))
    last = slice(N - 8000, None)

    def loss(threshold: float) -> float:
        decided, truth = given[last] >= threshold, labels[last]
        wrong = (decided & ~truth).sum(), (~decided & truth).sum()
        if aim == "f1":
            hits = (decided & truth).sum()
            return float(1 - 2 * hits / (2 * hits + sum(wrong)))
        return float(wrong[0] + 20 * wrong[1])

    best = min(loss(threshold) for threshold in np.quantile(given[last], np.linspace(0, 1, 400)))
    assert loss(found.threshold) <= 1.03 * best
    assert loss(found.threshold) < 0.8 * loss(0.5)


def test_before_both_labels_came_the_threshold_is_that_of_calibrated_probabilities() -> None:
    settings = CertaintySettings.model_validate({"decide": COST})
    found = Threshold(settings.decide.cost)  # type: ignore[union-attr]
    found.follow(np.full(500, 0.3), np.zeros(500, np.bool_), np.ones(500, np.bool_))
    assert found.threshold == pytest.approx(1 / 21, rel=0.05)
    assert Threshold(None).threshold == pytest.approx(0.5)


def test_costs_are_those_of_the_decisions_that_were_written() -> None:
    rng = np.random.default_rng(13)
    true = 1 / (1 + np.exp(-rng.normal(size=(N, 1)) * 1.5 + 3))
    labels = (rng.random((N, 1)) < true).astype(np.float32)
    found = certainty(BINARY, (4000,), decide=COST)
    outputs = true.astype(np.float32)
    rows = [row["class"] for row in found.follow(outputs, labels).rows()][-4000:]
    truth = labels[-4000:, 0] > 0
    for decided, name in ((np.array(rows) == "yes", "cost"), (outputs[-4000:, 0] > 0.5, "cost_at_half")):
        costs = (decided & ~truth) * 1 + (~decided & truth) * 20
        assert found.window(4000)[name] == pytest.approx(costs.mean())
    assert found.window(4000)["cost"] < 0.7 * found.window(4000)["cost_at_half"]


def test_what_stands_goes_with_no_single_miss() -> None:
    """The threshold of the next sample jumps with each miss; that for many samples without labels does not."""
    rng = np.random.default_rng(15)
    labels = rng.normal(size=(3000, 1)).astype(np.float32)
    found, standing, next_ones = certainty(REGRESSION, coverage=0.8), [], []
    for start in range(0, len(labels), 10):
        part = labels[start : start + 10]
        stood, said = found.stand(np.zeros((1, 1), np.float32)), found.follow(np.zeros_like(part), part)
        assert said.high is not None
        assert stood.high is not None
        standing.append(stood.high[0, 0])
        next_ones.append(said.high[0, 0])
    fresh = np.abs(rng.normal(size=2000))
    held = [(fresh <= high).mean() for high in standing[100:]]
    assert 0.7 < min(held) < max(held) < 0.9
    assert np.std(standing[100:]) < 0.7 * np.std(next_ones[100:])


def test_what_stands_is_what_is_said_with_the_next_sample() -> None:
    rng = np.random.default_rng(14)
    outputs = rng.random((500, 1)).astype(np.float32)
    labels = (rng.random((500, 1)) < outputs).astype(np.float32)
    found = certainty(BINARY, calibrate="temperature", decide="f1")
    found.follow(outputs[:400], labels[:400])
    said = found.stand(outputs[400:401])
    followed = found.follow(outputs[400:], labels[400:])
    assert next(iter(said.rows())) == next(iter(followed.rows()))
    assert said.outputs[0] == followed.outputs[0]


def test_a_state_of_other_settings_begins_anew() -> None:
    outputs, labels = np.full((30, 1), 0.3, np.float32), np.zeros((30, 1), np.float32)
    found, other = certainty(BINARY, coverage=0.9), certainty(BINARY, coverage=0.8)
    found.follow(outputs, labels)
    other.restore(found.state())
    assert other.state() == certainty(BINARY, coverage=0.8).state()
