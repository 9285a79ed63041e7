"""`train.average`: averages of the weights beside any model, which are served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import NUMBERS, X, assert_cuts_and_undo_leave_no_trace, bits, call, learner

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import ModelError, SettingsError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import keras
from learnd.daemon.values import FEATURES, LABEL, Skip

DECAY = 0.9
BY_BATCH = {"step": "train_on_batch"}


def averaging(**train: Any) -> KerasLearner:
    return learner(NUMBERS, {"hidden": [6]}, average={"decay": DECAY}, **train)


def averages(one: KerasLearner) -> list[Any]:
    arrays = one.state().arrays
    return [arrays[name] for name in sorted(arrays) if name.startswith("average/")]


def weights(one: KerasLearner) -> list[Any]:
    return [np.array(variable.numpy()) for variable in one.model.trainable_variables]


@pytest.mark.parametrize("step", ["fused", "train_on_batch"])
def test_an_average_is_what_the_formula_says(step: str) -> None:
    one = averaging(step=step)
    expected = [value.astype(np.float64) for value in weights(one)]
    for update in range(25):
        one.update(call(update, 1, 1, 4))
        kept = min(DECAY, (update + 1) / (update + 10))
        expected = [kept * average + (1 - kept) * w for average, w in zip(expected, weights(one), strict=True)]
    *found, updates = averages(one)
    assert updates == 25
    for average, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(average, wanted, rtol=1e-4, atol=1e-6)


def test_averages_are_served_and_the_weights_are_scored() -> None:
    one, plain = averaging(), learner(NUMBERS, {"hidden": [6]})
    for each in (one, plain):
        each.update(call(0, 32, 1, 4))
    given = call(32, 1, 1, 4)
    rows = given.batches[0].inputs
    raw = plain.predict(rows)[LABEL]
    served = one.predict(rows)[LABEL]
    assert not np.allclose(raw, served, atol=1e-4)
    *values, _ = averages(one)
    for variable, average in zip(plain.model.trainable_variables, values, strict=True):
        variable.assign(average)
    np.testing.assert_allclose(plain.predict(rows)[LABEL], served, rtol=1e-6)
    np.testing.assert_allclose(one.update(given).outputs[LABEL][0], raw, rtol=1e-5)


def test_a_model_trains_as_without_averages() -> None:
    one, plain = averaging(), learner(NUMBERS, {"hidden": [6]})
    for each in (one, plain):
        each.update(call(0, 32, 1, 4))
    for mine, other in zip(weights(one), weights(plain), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_an_export_opens_in_plain_keras_with_the_averages(tmp_path: Path) -> None:
    one = averaging()
    one.update(call(0, 32, 1, 4))
    before, (*values, _) = bits(one), averages(one)
    assert one.export(tmp_path / "m.keras") == []
    assert bits(one) == before
    plain = keras.saving.load_model(tmp_path / "m.keras")
    rows = X[100:140, :4]
    np.testing.assert_allclose(plain(rows), one.predict({FEATURES: rows})[LABEL], rtol=1e-4, atol=1e-5)
    exported = [variable.numpy() for variable in plain.trainable_variables]
    for value in values:
        assert any(value.shape == other.shape and np.array_equal(value, other) for other in exported)


@pytest.mark.parametrize("step", ["fused", "train_on_batch"])
def test_a_skipped_update_leaves_averages_alone(step: str) -> None:
    one, x = averaging(step=step), X.copy()
    one.update(call(0, 10, 1, 4))
    before = averages(one)
    x[10, 1] = np.inf
    assert one.update(call(10, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    for average, value in zip(averages(one), before, strict=True):
        np.testing.assert_array_equal(average, value)


def test_neither_the_cuts_of_calls_nor_what_is_taken_back_shows() -> None:
    assert_cuts_and_undo_leave_no_trace(averaging)


def test_a_moment_reset_keeps_the_averages() -> None:
    one = averaging()
    one.update(call(0, 10, 1, 4))
    before = averages(one)
    one.reset_moments()
    for average, value in zip(averages(one), before, strict=True):
        np.testing.assert_array_equal(average, value)


def test_averages_of_the_optimizer_beside_them_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"train\.average: the optimizer keeps averages too"):
        averaging(optimizer={"adam": {"use_ema": True}})


@pytest.mark.parametrize(
    ("preset", "train", "problem"),
    [
        ("auto", {"average": {}}, r"train\.average: a mixture"),
        ("auto", {"memory": {}}, r"train\.memory: a mixture"),
        ("mlp", {"average": {"hedge": True}, **BY_BATCH}, r"train\.average\.hedge: the model's own train_step"),
        ("mlp", {"memory": {}, **BY_BATCH}, r"train\.memory: the model's own train_step"),
    ],
)
def test_what_does_not_go_together_is_refused_by_validate_and_by_the_learner(
    preset: str, train: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ModelError, match=problem):
        learner(NUMBERS, {"preset": preset}, **train)
    with pytest.raises(ValueError, match=problem):
        Settings.model_validate(
            {
                "model": {"preset": preset},
                "source": {"files": {"path": "x.jsonl"}},
                "samples": {"features": {"a": "float"}, "label": "y"},
                "train": train,
            }
        )
