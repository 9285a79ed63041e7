"""Scores: of which samples, when they are published, and what of them is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from calls import made_call, made_report, samples
from pydantic import ValidationError
from sklearn import metrics as reference

from learnd.daemon.errors import SettingsError, StateMismatchError
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.training.scripted import ScriptedLearner
from learnd.daemon.values import (
    Call,
    Column,
    ColumnKind,
    Report,
    Samples,
    SampleSpec,
    Task,
)

BINARY = Task("binary", 1, 1)
CLASSES = Task("classes", 3, 1)


def spec_of(task: Task, width: int = 2) -> SampleSpec:
    """Return a spec whose first column is what the model predicts."""
    return SampleSpec.of_columns([Column(("prediction", "b", "c")[i], ColumnKind.NUMBER) for i in range(width)], task)


def evaluation(task: Task = BINARY, anchor_set: Samples | None = None, width: int = 2, **settings: Any) -> Evaluation:
    return Evaluation(ValidateSettings.model_validate(settings), spec_of(task, width), anchor_set)


def call(outputs: Any, labels: Any, held: Any = (), first: int = 0) -> tuple[Call, Report]:
    outputs = np.array(outputs, np.float32).reshape(len(labels), 1, -1)
    labels = np.array(labels, np.float32).reshape(len(labels), 1, -1)
    held_out = samples([[value, 0] for value, _ in held] or np.zeros((0, 2)), [[label] for _, label in held])
    consumed = made_call(np.zeros((len(labels), 1, 2)), labels, held=held_out, first=first)
    return consumed, made_report(outputs)


LEARNER = ScriptedLearner(spec_of(BINARY))
"""Predicts the first feature."""


def test_scores_are_those_of_the_predictions_before_each_update() -> None:
    rng = np.random.default_rng(0)
    labels, outputs = rng.integers(0, 2, 700), rng.random(700)
    found = evaluation()
    found.update(*call(outputs, labels), LEARNER)
    guessed = outputs > 0.5
    before = reference.accuracy_score(labels[1:], labels[:-1])
    accuracy = reference.accuracy_score(labels, guessed)
    scores = found.scores()
    assert list(scores) == [
        "accuracy",
        "log_loss",
        "ece",
        "auc",
        "precision",
        "recall",
        "f1",
        "kappa",
        "kappa_temporal",
    ]
    assert scores["accuracy"] == pytest.approx(accuracy)
    assert scores["auc"] == pytest.approx(reference.roc_auc_score(labels, outputs), abs=1e-3)
    assert scores["kappa_temporal"] == pytest.approx((accuracy - before) / (1 - before))
    assert found.baselines()["no_change"]["accuracy"] == pytest.approx(before)
    assert list(found.baselines()) == ["no_change", "majority", "priors"]
    ones = np.cumsum(labels) - labels
    share = (ones + 1) / (np.arange(700) + 2)
    log_loss = reference.log_loss(labels[1:], share[1:])
    assert found.baselines()["priors"] == {"log_loss": pytest.approx(log_loss)}


def test_classes_and_their_probabilities() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 400)
    outputs = rng.dirichlet(np.ones(3), 400).astype(np.float32)
    found = evaluation(CLASSES)
    found.update(*call(outputs, labels), LEARNER)
    expected = -np.log(outputs[np.arange(400), labels].astype(np.float64)).mean()
    assert found.scores()["log_loss"] == pytest.approx(expected, abs=1e-8)
    assert found.scores()["accuracy"] == pytest.approx((outputs.argmax(axis=1) == labels).mean())


def test_a_window_is_the_latest_samples_alone() -> None:
    found = evaluation(prequential={"windows": [4, 100], "every": 1000})
    found.update(*call([0.9] * 6 + [0.1] * 4, [0] * 6 + [0] * 4), LEARNER)
    assert found.scores()["accuracy"] == 0.4
    assert found.window_baselines(4)["no_change"]["accuracy"] == 1.0
    assert found.window_scores(4)["accuracy"] == 1.0
    assert found.window_scores(100) == found.scores()
    assert found.window_baselines(100) == found.baselines()


def test_a_window_of_the_whole_run_scores_no_baseline_before_the_first_label() -> None:
    found = evaluation()
    found.update(*call([0.9] * 3, [1, 1, 1]), LEARNER)
    assert found.window_baselines(1000)["no_change"]["accuracy"] == 1.0
    assert found.window_baselines(1000) == found.baselines()


def test_scores_are_published_at_each_multiple_of_their_period() -> None:
    found = evaluation(prequential={"windows": [2], "every": 3})
    events, _ = found.update(*call([0.9] * 7, [1, 0, 1, 0, 1, 0, 1]), LEARNER)
    scores = [event for event in events if event.kind == "score"]
    assert [(event.samples, event.data["set"], event.data["window"]) for event in scores] == [
        (3, "prequential", "all"),
        (3, "prequential", 2),
        (6, "prequential", "all"),
        (6, "prequential", 2),
    ]
    assert events[0].kind == "score"
    assert events[0].data["metrics"]["accuracy"] == 2 / 3
    assert events[1].data["baselines"]["no_change"] == {"accuracy": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0} | {
        "kappa": -1.0
    }
    json.dumps([dict(event.data) for event in events], allow_nan=False)


def test_predictions_that_are_not_finite_are_counted_and_enter_no_score() -> None:
    found = evaluation()
    found.update(*call([np.nan, 0.9, np.inf, 0.9, -np.inf], [1, 1, 1, 0, 0]), LEARNER)
    assert found.latest(LEARNER)[0].data["unscored"] == 3
    assert found.scores()["accuracy"] == 0.5
    assert found.baselines()["no_change"]["accuracy"] == 0.5
    assert np.isfinite(list(found.scores().values())).all()


@pytest.mark.parametrize("task", [BINARY, CLASSES, Task("regression", 1, 1), Task("multi_label", 1, 1)])
def test_nothing_that_is_not_finite_is_kept(task: Task) -> None:
    found = evaluation(task)
    outputs = np.full((6, task.outputs), np.nan)
    outputs[::2] = np.inf
    found.update(*call(outputs, [1, 0, 1, 1, 0, 0]), LEARNER)
    assert all(np.isfinite(array).all() for array in found.state().arrays.values())


def test_a_diverged_model_has_no_scores_in_a_window() -> None:
    found = evaluation(prequential={"windows": [5], "every": 10})
    events, _ = found.update(*call([0.9] * 5 + [np.nan] * 5, [1] * 10), LEARNER)
    assert events[1].data["metrics"] == {}
    assert events[1].data["unscored"] == 5


@pytest.mark.parametrize("rows", [1, 4])
def test_a_call_of_no_update_takes_the_held_out_samples_and_publishes_nothing(rows: int) -> None:
    found = evaluation(holdout={"every": 2})
    empty = made_call(np.zeros((0, rows, 2)), np.zeros((0, rows, 1)), held=samples(np.ones((3, 2)), np.ones((3, 1))))
    assert found.update(empty, made_report(np.zeros((0, rows, 1))), LEARNER) == ([], {})
    events, _ = found.update(*call([0.9, 0.9], [1, 1]), LEARNER)
    assert [event.data["scored"] for event in events if event.data["set"] == "holdout"] == [3]


def test_the_holdout_is_scored_with_the_current_weights_on_the_latest_samples() -> None:
    found = evaluation(holdout={"size": 3, "every": 2})
    assert found.holdout_scores() == {}
    held = [(0.1, 1), (0.9, 1), (0.8, 1), (0.7, 0)]
    events, _ = found.update(*call([0.9, 0.9], [0, 0], held), LEARNER)
    assert [(event.samples, event.data["set"], event.data["scored"]) for event in events] == [(2, "holdout", 3)]
    assert found.holdout_scores()["accuracy"] == 2 / 3
    assert events[0].data["baselines"] == {
        "majority": {"accuracy": 1 / 3, "recall": 0.0, "f1": 0.0, "kappa": 0.0},
        "priors": {"log_loss": pytest.approx(-(np.log(1 / 4) * 2 + np.log(3 / 4)) / 3)},  # two zeros came
    }


def test_a_set_of_values_is_beside_the_running_mean_of_the_stream() -> None:
    found = evaluation(Task("regression", 1, 1), holdout={"every": 2})
    events, _ = found.update(*call([0, 0], [3, 5], [(1, 1), (6, 7)]), LEARNER)
    assert events[0].data["metrics"]["mae"] == 0.5
    assert events[0].data["baselines"] == {"running_mean": {"mae": 3.0, "rmse": 3.0, "r2": 0.0}}


def test_the_anchor_set_is_scored_at_its_period() -> None:
    anchor = samples([[0.9, 0], [0.9, 0], [0.1, 0]], [[1], [0], [0]])
    found = evaluation(anchor_set=anchor, anchor={"file": "a.jsonl", "every": 4})
    assert found.update(*call([0.9] * 3, [1] * 3), LEARNER) == ([], {})
    events, _ = found.update(*call([0.9] * 2, [1] * 2, first=3), LEARNER)
    assert [(event.samples, event.data["set"]) for event in events] == [(5, "anchor")]
    assert events[0].data["metrics"]["accuracy"] == 2 / 3


def test_a_stream_that_ends_between_two_periods_has_its_scores_at_its_end_once() -> None:
    anchor = samples([[0.9, 0], [0.1, 0]], [[1], [1]])
    sets: dict[str, Any] = {"holdout": {"every": 100}, "anchor": {"file": "a.jsonl", "every": 100}}
    found = evaluation(anchor_set=anchor, prequential={"windows": [2], "every": 4}, **sets)
    assert found.at_end(LEARNER, 0) == []
    found.update(*call([0.9] * 6, [1] * 6, [(0.9, 1)]), LEARNER)
    again = evaluation(anchor_set=anchor, prequential={"windows": [2], "every": 4}, **sets)
    again.restore(found.state())
    *scores, trained = again.at_end(LEARNER, 6)
    told = [(event.samples, event.data["set"], event.data["window"]) for event in scores]
    assert (trained.samples, trained.kind) == (6, "training")
    assert told == [(6, "prequential", "all"), (6, "prequential", 2), (6, "holdout", "all"), (6, "anchor", "all")]
    assert again.at_end(LEARNER, 6) == []
    assert again.holdout_scores()["accuracy"] == 1
    again.update(*call([0.9] * 2, [1] * 2, first=6), LEARNER)
    assert again.at_end(LEARNER, 8) == []


def test_a_stream_that_ends_where_only_the_prequential_scores_were_due_scores_its_holdout() -> None:
    found = evaluation(prequential={"windows": [2], "every": 4}, holdout={"every": 100})
    found.update(*call([0.9] * 4, [1] * 4, [(0.9, 1)]), LEARNER)
    assert found.holdout_unscored == "the first score comes after 100 samples, or when the stream ends"
    assert [event.data["set"] for event in found.at_end(LEARNER, 4)] == ["holdout"]
    assert (found.holdout_unscored, found.at_end(LEARNER, 4)) == (None, [])


def test_a_holdout_without_samples_says_so_and_none_says_nothing() -> None:
    assert evaluation(holdout={"every": 100}).holdout_unscored == "no sample was held out"
    assert evaluation().holdout_unscored is None


def test_a_model_behind_a_baseline_is_told_by_which_metric_and_how_much() -> None:
    found = evaluation()
    labels = [0, 1, 0, 0, 0, 1, 0, 0] * 20
    found.update(*call([0.01 if label else 0.4 for label in labels], labels), LEARNER)
    assert found.behind(least=161) == []
    (loss,) = found.behind(least=160)
    log_loss = reference.log_loss(labels, [0.01 if label else 0.4 for label in labels])
    assert (loss.metric, loss.baseline, loss.score) == ("log_loss", "priors", pytest.approx(log_loss, abs=1e-5))
    assert loss.baseline_score == found.baselines()["priors"]["log_loss"] < loss.score


def test_a_model_that_is_as_good_as_a_baseline_is_not_behind_it() -> None:
    found = evaluation(CLASSES, width=3)
    labels = ([0] * 9 + [1]) * 10
    found.update(*call([[0.9, 0.1, 0.0]] * 100, labels), LEARNER)
    assert [(behind.metric, behind.baseline) for behind in found.behind(least=100)] == []


@pytest.mark.parametrize(("task", "width", "shape"), [(BINARY, 2, lambda p: p), (CLASSES, 3, lambda p: [1 - p, p, 0])])
def test_with_class_weights_a_model_is_not_behind_for_what_it_gives_up(task: Task, width: int, shape: Any) -> None:
    """It finds each of the rare ones, and takes some others for one: less accurate than the majority, by design."""
    labels = ([0] * 99 + [1]) * 10
    found_all = [shape(0.8 if label or number % 20 == 0 else 0.4) for number, label in enumerate(labels)]
    by_chance = [shape(0.8 if number % 20 == 1 else 0.4) for number in range(len(labels))]
    plain, weighed, blind = (
        Evaluation(ValidateSettings(), spec_of(task, width), weighs_classes=weighs) for weighs in (False, True, True)
    )
    plain.update(*call(found_all, labels), LEARNER)
    weighed.update(*call(found_all, labels), LEARNER)
    blind.update(*call(by_chance, labels), LEARNER)
    assert {behind.metric for behind in plain.behind(least=100)} == {"accuracy", "log_loss"}
    assert weighed.behind(least=100) == []
    assert [(behind.metric, behind.baseline) for behind in blind.behind(least=100)] == [("kappa", "majority")]


def test_the_periods_are_those_of_the_parts_that_are_on() -> None:
    settings = {"prequential": {"every": 30}, "holdout": {"every": 20}}
    assert evaluation(**settings).periods == (20, 30)
    assert evaluation().periods == (10_000,)


def test_only_the_wanted_metrics_are_published() -> None:
    found = evaluation(metrics=["accuracy", "kappa_temporal"])
    found.update(*call([0.9, 0.9, 0.1], [1, 0, 1]), LEARNER)
    assert list(found.scores()) == ["accuracy", "kappa_temporal"]
    assert list(found.baselines()["majority"]) == ["accuracy"]


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"validate\.metrics: rmse is not a metric of a binary task"):
        evaluation(metrics=["accuracy", "rmse"])


@pytest.mark.parametrize(
    "settings",
    [
        {"metrics": ["acuracy"]},
        {"prequential": {"windows": [10, 10]}},
        {"prequential": {"windows": [0]}},
        {"prequential": {"every": 0}},
        {"holdout": {"share": 1}},
        {"holdout": {"by": "label"}},
        {"anchor": {"every": 5}},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ValidateSettings.model_validate(settings)


def test_a_state_is_a_copy() -> None:
    found = evaluation(holdout={"size": 2, "every": 1})
    found.update(*call([0.9] * 3, [1, 0, 1], [(0.5, 1)]), LEARNER)
    state = found.state()
    kept = state.clone()
    found.update(*call([0.4] * 3, [0, 1, 1], [(0.7, 0)] * 2, first=3), LEARNER)
    assert state == kept != found.state()


def test_a_restore_takes_copies() -> None:
    first = evaluation(holdout={"size": 2, "every": 1})
    first.update(*call([0.9] * 3, [1, 0, 1], [(0.5, 1)]), LEARNER)
    state = first.state()
    before = state.clone()
    second = evaluation(holdout={"size": 2, "every": 1})
    second.restore(state)
    second.update(*call([0.4] * 3, [0, 1, 1], [(0.7, 0)] * 2, first=3), LEARNER)
    assert state == before != second.state()


def test_a_larger_window_goes_on_from_the_samples_there_are() -> None:
    small = evaluation(prequential={"windows": [3]})
    small.update(*call([0.9] * 6, [1, 1, 1, 0, 0, 1]), LEARNER)
    large = evaluation(prequential={"windows": [5]})
    large.restore(small.state())
    assert large.window_scores(5) == small.window_scores(3)
    assert large.window_baselines(5)["no_change"]["accuracy"] == 1 / 3
    large.update(*call([0.1], [0], first=6), LEARNER)
    assert large.window_scores(5)["accuracy"] == 0.5


def test_the_course_of_training_is_told_with_the_scores_of_predictions() -> None:
    """As the mean loss since it was last told, without updates that had none, and the rate."""
    losses = np.array([1, 2, np.nan, 4, 5, 6], np.float32)

    def lived(*ends: int) -> list[tuple[int, Any]]:
        found = evaluation(prequential={"windows": [2], "every": 4})
        events, start = [], 0
        for end in ends:
            made, report = call([0.9] * (end - start), [1] * (end - start), first=start)
            events += found.update(made, replace(report, loss=losses[start:end]), LEARNER)[0]
            state, found = found.state(), evaluation(prequential={"windows": [2], "every": 4})
            found.restore(state)
            start = end
        events += found.at_end(LEARNER, start)
        return [(event.samples, event.data) for event in events if event.kind == "training"]

    told = [(4, {"loss": pytest.approx(7 / 3), "learning_rate": 0.5}), (6, {"loss": 5.5, "learning_rate": 0.5})]
    assert lived(4, 6) == told
    assert lived(1, 2, 4, 5, 6) == told == lived(3, 4, 6)


def test_a_state_without_losses_goes_on() -> None:
    state = evaluation().state()
    del state.arrays["losses/sum_count"], state.facts["losses"]
    evaluation().restore(state)


def test_a_state_of_another_task_or_of_other_features_is_refused() -> None:
    state = evaluation().state()
    for other in (evaluation(CLASSES), evaluation(width=3)):
        with pytest.raises(StateMismatchError, match="another state directory"):
            other.restore(state)


def test_a_state_of_another_forecast_is_refused_by_the_keys_that_differ() -> None:
    def forecast(**window: int) -> Evaluation:
        given = {"features": {"v": "float"}, "label": "v", "window": {"length": 3, "ahead": 1, **window}}
        return Evaluation(ValidateSettings(), SamplesSettings.model_validate(given).spec("regression"))

    state = forecast(season=2).state()
    forecast(season=2).restore(state)
    for other in (forecast(), forecast(season=3)):
        with pytest.raises(StateMismatchError, match=r"holds {'samples.window': {'ahead': 1, 'season': 2}}, so"):
            other.restore(state)


def test_a_state_without_one_of_its_arrays_is_refused() -> None:
    state = evaluation().state()
    del state.arrays["prequential/label/overall/auc/bins"]
    with pytest.raises(StateMismatchError, match="'bins'"):
        evaluation().restore(state)


def test_the_shares_of_a_mixture_are_told_with_the_scores() -> None:
    class Mixed(ScriptedLearner):
        def shares(self) -> dict[str, float]:
            return {"columns": 0.75, "lags": 0.25}

    found = evaluation(prequential={"windows": [40], "every": 100})
    given = call(np.full(100, 0.7), np.ones(100))
    told = [event for event in found.update(*given, Mixed(spec_of(BINARY)))[0] if event.kind == "mixture"]
    assert [(event.samples, event.data) for event in told] == [(100, {"shares": {"columns": 0.75, "lags": 0.25}})]
