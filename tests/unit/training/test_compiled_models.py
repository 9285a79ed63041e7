"""Models that come compiled: their optimizer goes on where their training ended, as Keras would."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import NUMBERS, X, Y, call, learner
from structlog.testing import capture_logs

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import keras

ROWS = 20
FIRST, MORE = 300, 40  # updates before and after the model is saved
SCHEDULE = {"initial_learning_rate": 0.05, "decay_steps": 100, "decay_rate": 0.4}


def optimizer(name: str) -> Any:
    rate = keras.optimizers.schedules.ExponentialDecay(**SCHEDULE)
    return {
        "sgd with a schedule": keras.optimizers.SGD(rate, momentum=0.9),
        "adam": keras.optimizers.Adam(0.003),
        "adam with a schedule": keras.optimizers.Adam(rate),
    }[name]


def by_keras(model: Any, start: int, updates: int) -> None:
    for rows in range(start * ROWS, (start + updates) * ROWS, ROWS):
        model.train_on_batch(X[rows : rows + ROWS, :4], Y[rows : rows + ROWS])


@pytest.fixture(params=["sgd with a schedule", "adam", "adam with a schedule"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model that Keras has trained for a while, and saved."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer(request.param), "binary_crossentropy")
    by_keras(model, 0, FIRST)
    model.save(tmp_path / "trained.keras")
    return tmp_path / "trained.keras"


def of(path: Path, **train: Any) -> KerasLearner:
    return learner(NUMBERS, {"load": path}, {"sigma": None}, batch_size=ROWS, **train)


def test_a_loaded_model_goes_on_as_keras_would(trained: Path) -> None:
    one, expected = of(trained), keras.saving.load_model(trained)
    assert one.learning_rate == pytest.approx(float(expected.optimizer.learning_rate), rel=1e-6)
    one.update(call(FIRST * ROWS, MORE, ROWS, 4))
    by_keras(expected, FIRST, MORE)
    assert one.learning_rate == pytest.approx(float(expected.optimizer.learning_rate), rel=1e-6)
    for mine, theirs in zip(one.model.variables, expected.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    moments = one.state().arrays
    for variable in expected.optimizer.variables:
        if "learning_rate" not in variable.path:
            (mine,) = [array for name, array in moments.items() if name.endswith(f"/{variable.path}")]
            np.testing.assert_allclose(mine, variable.numpy(), rtol=1e-4, atol=1e-6)


def test_the_rate_of_a_compiled_schedule_follows_its_updates(trained: Path) -> None:
    one = of(trained)
    for updates in (1, 5, 9):
        one.update(call(0, updates, ROWS, 4))
    state = one.state()
    again = of(trained)
    again.restore(state)
    assert again.learning_rate == one.learning_rate
    for each in (one, again):
        each.update(call(400, 20, ROWS, 4))
    assert again.state() == one.state()
    own = keras.saving.load_model(trained).optimizer.get_config()["learning_rate"]
    if isinstance(own, dict):
        expected = 0.05 * 0.4 ** ((FIRST + 35) / 100)
        assert one.learning_rate == pytest.approx(expected, rel=1e-5)


def test_an_optimizer_of_the_settings_replaces_the_models_own_and_says_so(trained: Path) -> None:
    with capture_logs() as logs:
        one = of(trained, optimizer={"sgd": {"learning_rate": 0.01}})
    (told,) = [line for line in logs if line["event"] == "optimizer_replaced"]
    assert told["updates"] == FIRST
    assert told["learning_rate"] == pytest.approx(
        float(keras.saving.load_model(trained).optimizer.learning_rate), rel=1e-6
    )
    assert one.learning_rate == pytest.approx(0.01)
    assert all(array == 0 for name, array in one.state().arrays.items() if name.endswith("/iteration"))


def test_moments_of_layers_that_were_frozen_are_missing_and_this_is_said(tmp_path: Path) -> None:
    first = keras.layers.Dense(8, activation="tanh", name="first", trainable=False)
    model = keras.Sequential([keras.Input((4,)), first, keras.layers.Dense(1, activation="sigmoid", name="last")])
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy")
    by_keras(model, 0, 10)
    model.save(tmp_path / "frozen.keras")
    with capture_logs() as logs:
        one = learner(NUMBERS, {"load": tmp_path / "frozen.keras"}, phases=[{"unfreeze": "*"}])
    (told,) = [line for line in logs if line["event"] == "moments_missing"]
    assert len(told["variables"]) == 4
    assert all("first" in name for name in told["variables"])
    kept = [array for name, array in one.state().arrays.items() if "last_" in name]  # in the order of the layers
    expected = [variable.numpy() for variable in model.optimizer.variables if "last_" in variable.path]
    assert len(kept) == 4
    for mine, theirs in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@keras.saving.register_keras_serializable("tests")
def wrong(truth: Any, prediction: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(truth - prediction), axis=-1)


def test_the_metrics_of_a_compiled_model_are_kept_under_their_names(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    given = ["accuracy", "mse", keras.metrics.AUC(name="area"), wrong, keras.metrics.F1Score(name="f1s")]
    model.compile("sgd", "binary_crossentropy", metrics=given)
    model.save(tmp_path / "measured.keras")
    with capture_logs() as logs:
        one = learner(NUMBERS, {"load": tmp_path / "measured.keras"}, metrics=["precision"], batch_size=ROWS)
    found = one.update(call(0, 20, ROWS, 4)).outputs["label"].reshape(-1, 1)
    truth = Y[: len(found)]
    area = keras.metrics.AUC()
    area.update_state(truth, found)
    assert one.metric_results() == pytest.approx(
        {
            "precision": one.metric_results()["precision"],
            "keras_accuracy": float(np.mean((found > 0.5) == truth)),
            "mse": float(np.mean((found - truth) ** 2)),
            "area": float(area.result()),
            "wrong": float(np.mean(np.abs(found - truth))),
        },
        rel=1e-5,
    )
    assert [line["metric"] for line in logs if line["event"] == "metric_left_out"] == ["f1s"]
    again = learner(NUMBERS, {"load": tmp_path / "measured.keras"}, metrics=["precision"], batch_size=ROWS)
    again.restore(one.state())
    assert again.metric_results() == one.metric_results()
