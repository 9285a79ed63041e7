"""The settings of challengers: what they take from the model that they challenge, and what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learnd.daemon.config.settings import Settings
from learnd.daemon.contest.settings import ChallengerSettings
from learnd.daemon.errors import ModelError, SettingsError
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.verbs.validate import problems_with_model

MODEL = ModelSettings(preset="mlp", hidden=[8], dropout=0.1)
TRAIN = TrainSettings(seed=3, batch_size=4)


def given(*challengers: dict[str, Any], **more: Any) -> Settings:
    base = {"source": {"files": {"path": "x.csv"}}, "samples": {"features": {"a": "float"}, "label": "y"}}
    return Settings.model_validate({**base, "challengers": challengers, **more})


def test_a_challenger_takes_what_it_does_not_say() -> None:
    one = ChallengerSettings.model_validate({"name": "deep", "model": {"hidden": [16]}, "train": {"seed": 4}})
    model, train = one.of(MODEL, TRAIN)
    assert (model.preset, model.hidden, model.dropout) == ("mlp", [16], 0.1)
    assert (train.seed, train.batch_size) == (4, 4)
    assert not one.has_own_layers


def test_another_build_takes_the_task_alone() -> None:
    one = ChallengerSettings.model_validate({"name": "other", "model": {"build": "models.py:build"}})
    model, train = one.of(ModelSettings(preset="linear", task="regression"), TRAIN)
    assert (model.preset, str(model.build), model.task) == (None, "models.py:build", "regression")
    assert train == TRAIN
    assert one.has_own_layers


def test_a_mixture_takes_no_averages_and_no_memory_that_it_does_not_ask_for() -> None:
    train = {"average": {}, "memory": {}, "optimizer": {"sgd": {"learning_rate": 0.1}}}
    one, *_ = given({"name": "auto", "model": {"preset": "auto"}}, train=train).challengers
    own = one.of(MODEL, TrainSettings.model_validate(train))[1]
    assert (own.average, own.memory) == (None, None)
    assert own.optimizer == TrainSettings.model_validate(train).optimizer
    with pytest.raises(ValidationError, match=r"challengers\.0\.train\.average: a mixture has averages of its own"):
        given({"name": "auto", "model": {"preset": "auto"}, "train": {"average": {}}}, train=train)


@pytest.mark.parametrize(
    ("challengers", "problem"),
    [
        ([{"name": "one"}], "give model or train"),
        ([{"name": "model", "train": {"seed": 1}}], "the name of the one that it challenges"),
        ([{"name": "trial", "train": {"seed": 1}}], "the name of what the action trial tries"),
        (
            [{"name": "one", "train": {"class_weight": {"often": 2.0}}}],
            "challengers.0.train.class_weight.often: there is no such class",
        ),
        ([{"name": "One", "train": {"seed": 1}}], "String should match pattern"),
        ([{"name": "one", "train": {"batch_size": 9}}], "train.batch_size: it is that of all models"),
        ([{"name": "one", "train": {"seed": 1}}] * 2, "challengers.1.name: one is another one's name"),
        ([{"name": "one", "model": {"task": "regression"}}], "challengers.0.model.task: the labels are of the task"),
        ([{"name": "one", "model": {"preset": "auto", "hidden": [8]}}], "hidden has no meaning for preset: auto"),
    ],
)
def test_what_is_wrong_is_said(challengers: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        given(*challengers)


def test_weights_of_classes_are_held_against_the_labels() -> None:
    weighed = {"name": "one", "train": {"class_weight": "balanced"}}
    with pytest.raises(ValidationError, match=r"challengers\.0\.train\.class_weight: a regression task has no classes"):
        given(weighed, model={"task": "regression"})


@pytest.mark.parametrize(
    ("do", "problem"),
    [
        ([{"trial": {"of": "next_phase"}}], "next_phase has no phase to go on to"),
        ([{"trial": {"of": "refit_standardization"}}], "refit_standardization has nothing to refit"),
        ([{"trial": {"of": "reset_moments"}}, "roll_back"], "roll_back would undo trial"),
    ],
)
def test_a_trial_of_nothing_is_refused(do: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        given(model={"standardize": False}, reactions=[{"on": "drift.confirmed", "do": do}])


def test_a_trial_names_an_action_that_changes_the_model() -> None:
    def rule(of: Any) -> Settings:
        return given(reactions=[{"on": "drift.confirmed", "do": [{"trial": {"of": of}}]}])

    assert rule("reset_moments").reactions[0].do[0].action.of.name == "reset_moments"
    assert rule({"learning_rate": {"times": 3}}).reactions[0].do[0].action.of.action.times == 3
    for of, problem in (
        ("roll_back", "unknown action 'roll_back'"),
        ({}, "name one action"),
        ("learning_rate", "times"),
    ):
        with pytest.raises(ValidationError, match=problem):
            rule(of)


def test_what_only_keras_can_tell_says_whose_it_is(tmp_path: Path) -> None:
    def problem(**model: str) -> str:
        settings = given({"name": "other", "model": model})
        with pytest.raises((ModelError, SettingsError)) as error:
            problems_with_model(settings)
        return str(error.value)

    assert problem(load=str(tmp_path / "nothing.keras")).startswith("challengers.other")
    assert problem(build="nowhere:build").startswith("challengers.other")
