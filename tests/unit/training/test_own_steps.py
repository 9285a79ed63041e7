"""Models with a `train_step` or `compute_loss` of their own: it is run, and all that it uses is in the state."""

from typing import Any

import numpy as np
import pytest
from learners import NUMBERS, X, Y, call, learner
from structlog.testing import capture_logs

from learnd.daemon.errors import ModelError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import keras, tf


def own(name: str, **more: Any) -> KerasLearner:
    return learner(NUMBERS, {"build": f"own_steps:{name}"}, batch_size=4, **more)


def names(one: KerasLearner) -> list[str]:
    return [name for name in one.state().arrays if name.startswith("step/")]


def test_a_train_step_of_the_models_own_is_run() -> None:
    with capture_logs() as logs:
        one = own("half")
    assert {"event": "own_step", "methods": ["train_step"]}.items() <= logs[0].items()
    before = [variable.numpy() for variable in one.model.trainable_variables]
    report = one.update(call(0, 1, 4, 4))
    x, y = tf.constant(X[:4, :4]), tf.constant(Y[:4])
    kernel, bias = (tf.Variable(value) for value in before)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(tf.sigmoid(x @ kernel + bias) - y)) / 2
    np.testing.assert_allclose(report.loss, [loss.numpy()], rtol=1e-5)
    for variable, value, gradient in zip(
        one.model.trainable_variables, before, tape.gradient(loss, [kernel, bias]), strict=True
    ):
        np.testing.assert_allclose(variable.numpy(), value - 0.5 * gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_a_loss_of_the_models_own_is_used() -> None:
    one = own("constant")
    before = [variable.numpy() for variable in one.model.trainable_variables]
    report = one.update(call(0, 3, 4, 4))
    np.testing.assert_allclose(report.loss, 7)
    for variable, value in zip(one.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)  # a constant has no gradient


@pytest.mark.parametrize("name", ["half", "constant"])
def test_a_step_of_the_models_own_is_never_ignored(name: str) -> None:
    with pytest.raises(ModelError, match="which step: fused would not call"):
        own(name, step="fused")


def test_what_learnd_does_not_call_is_refused() -> None:
    with pytest.raises(ModelError, match="overrides train_on_batch, which learnd does not call"):
        own("on_batch")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("two_optimizers", ["second/iteration", "second/learning_rate", "momentum", "velocity"]),
        ("compiled_with_two", ["second/iteration", "second/learning_rate", "momentum", "velocity"]),
        ("memory", ["total", "count"]),
    ],
)
def test_every_variable_of_an_own_step_is_in_the_state(name: str, kept: list[str]) -> None:
    whole, half = own(name), own(name)
    for part in kept:
        assert any(part in found for found in names(whole)), (part, names(whole))
    for one in (whole, half):
        one.update(call(0, 20, 4, 4))
    resumed = own(name)
    resumed.restore(half.state())
    for one in (whole, resumed):
        one.update(call(80, 20, 4, 4))
    assert resumed.state() == whole.state()
    changed = {name for name in names(whole) if (whole.state().arrays[name] != half.state().arrays[name]).any()}
    assert changed


def test_an_update_that_is_skipped_leaves_the_second_optimizer_as_it_was() -> None:
    x = X.copy()
    x[9] = np.nan
    one = own("two_optimizers")
    one.update(call(0, 2, 4, 4))
    before = {name: one.state().arrays[name] for name in names(one)}
    report = one.update(call(8, 1, 4, 4, x=x))
    assert report.skipped.tolist() != [0]
    for name, array in before.items():
        np.testing.assert_array_equal(one.state().arrays[name], array)
    one.update(call(12, 2, 4, 4))
    one.undo()
    for name, array in before.items():
        np.testing.assert_array_equal(one.state().arrays[name], array)


def test_batches_of_other_sizes_do_not_change_the_full_ones() -> None:
    results = set()
    for sizes in ([], [3, 1, 2]):
        one = own("two_optimizers")
        state = one.state()
        for size in sizes:
            one.update(call(0, 1, size, 4, partial=True))
        one.restore(state)
        one.update(call(0, 30, 4, 4))
        one.update(call(120, 1, 3, 4, partial=True))
        results.add(one.state().digest())
    assert len(results) == 1


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stray", r"1 variables that do not belong to the model \(stray:0\)"),
        ("drawing", "draw random numbers by RandomUniform"),
        ("without_loss", "returns error, but no loss"),
        ("broken", r"its train_step does not compile: .*no such thing"),
    ],
)
def test_a_step_that_no_checkpoint_would_hold_is_refused(name: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        own(name).compile()


def test_other_optimizers_are_refused_with_phases() -> None:
    with pytest.raises(ModelError, match="phases: the model's train_step has variables of its own"):
        own("two_optimizers", phases=[{"until": {"samples": 8}}, {}])


@pytest.mark.parametrize("draw", ["tf.random.uniform((1, 1))", "tf.random.shuffle(x)"])
def test_random_numbers_of_tensorflow_are_refused_in_any_step(
    draw: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"drawing_{len(draw)}"
    (tmp_path / f"{name}.py").write_text(
        "import keras, tensorflow as tf\n"
        "class Draw(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        f"        return x + 0.01 * {draw}\n"
        "def build(spec):\n"
        "    return keras.Sequential([keras.Input((spec.width,)), Draw(), keras.layers.Dense(1)])\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="draw random numbers by Random"):
        learner(NUMBERS, {"build": f"{name}:build"}).compile()


def test_the_norm_of_gradients_is_clipped_in_every_step() -> None:
    weights = []
    for step in ("fused", "train_on_batch"):
        one = learner(NUMBERS, {"preset": "linear", "standardize": False}, step=step)
        one.update(call(0, 5, 1, 4, x=100 * X))
        weights.append([variable.numpy() for variable in one.model.trainable_variables])
    for fused, by_batch in zip(*weights, strict=True):
        np.testing.assert_allclose(fused, by_batch, rtol=1e-4, atol=1e-6)


def test_a_model_without_a_step_of_its_own_runs_fused() -> None:
    one = learner(NUMBERS)
    one.update(call(0, 3, 1, 4))
    assert one.traces
    assert keras.Model.train_step is not None
