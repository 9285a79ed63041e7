"""Optimizers are kept as they are given: weights are compared with those of `train_on_batch`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from any_model import assert_as_keras, learner_of
from learners import NUMBERS, X, Y, call, learner

from learnd.daemon.errors import ModelError
from learnd.daemon.training.runtime import keras
from learnd.daemon.values import FEATURES, LABEL, SampleSpec, Skip

INPUT = ((X[:, :4] - 3) / 2).astype(np.float32)


def compiled(optimizer: Callable[[], Any], policy: str | None = None) -> Callable[[SampleSpec], Any]:
    """Return a builder of a small model that is compiled with an optimizer."""

    def build(spec: SampleSpec) -> Any:
        hidden = keras.layers.Dense(6, activation="tanh", name="hidden", dtype=policy)
        last = keras.layers.Dense(1, activation="sigmoid", name="last", dtype=policy)
        model = keras.Sequential([keras.Input((spec.width,)), hidden, last])
        if policy is not None:
            model.dtype_policy = keras.DTypePolicy(policy)
        model.compile(optimizer(), "mse", jit_compile=False)
        return model

    return build


class OfOnesOwn(keras.optimizers.SGD):  # type: ignore[misc]
    """Is not registered, and its configuration lacks an argument."""

    def __init__(self, times: float) -> None:
        super().__init__(0.1)
        self.times = times

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient * self.times, variable, learning_rate)


class Halved(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Is not registered."""

    def __call__(self, step: Any) -> Any:
        return 0.2 * keras.ops.power(0.9, keras.ops.cast(step, "float32"))


def without_decay_of_biases() -> Any:
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def several() -> Any:
    others = {"sequential.*/hidden/.*": keras.optimizers.Adam(0.02)}
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(rate), others))


OPTIMIZERS = {
    "accumulation, clipped": lambda: keras.optimizers.SGD(1.0, global_clipnorm=0.05, gradient_accumulation_steps=3),
    "clipped": lambda: keras.optimizers.SGD(1.0, global_clipnorm=0.05),
    "exclusions": without_decay_of_biases,
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "several": several,
    "of one's own": lambda: OfOnesOwn(3.0),
    "schedule of one's own": lambda: keras.optimizers.SGD(Halved()),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0),
    "loss scale factor": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=8.0, global_clipnorm=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_kept_as_it_is(name: str) -> None:
    assert_as_keras(compiled(OPTIMIZERS[name]), NUMBERS, INPUT, Y)


@pytest.mark.parametrize("name", ["several", "loss scale", "schedule of one's own"])
def test_all_of_it_is_in_the_state(name: str) -> None:
    whole, half = (learner_of(compiled(OPTIMIZERS[name]), NUMBERS) for _ in range(2))
    for one in (whole, half):
        one.boost(2.0, 50)
        one.update(call(0, 20, 1, 4, x=INPUT))
    state = half.state()
    resumed = learner_of(compiled(OPTIMIZERS[name]), NUMBERS)
    resumed.restore(state)
    for one in (whole, resumed):
        one.update(call(20, 20, 1, 4, x=INPUT))
    assert resumed.state() == whole.state()
    whole.undo()
    assert whole.state() == state
    whole.reset_moments()
    assert whole.state() != state


def test_a_factor_acts_on_all_of_several_optimizers() -> None:
    weights = []
    for factor in (1.0, 1e-12):
        one = learner_of(compiled(several), NUMBERS)
        before = [weight.numpy() for weight in one.model.weights]
        one.slow_down(factor)
        one.update(call(0, 5, 1, 4, x=INPUT))
        weights.append([np.abs(a.numpy() - b).max() for a, b in zip(one.model.weights, before, strict=True)])
    assert min(weights[0]) > 1e-4
    assert max(weights[1]) < 1e-6


def test_several_optimizers_are_refused_where_a_phase_would_leave_one_out() -> None:
    with pytest.raises(ModelError, match="phases"):
        learner_of(compiled(several), NUMBERS, phases=[{"unfreeze": "last", "until": {"samples": 8}}, {}])


@pytest.mark.parametrize("name", ["lamb", "Lamb", {"lamb": {"learning_rate": 0.01}}, "muon", "schedule_free_adam_w"])
def test_every_optimizer_has_a_name(name: Any) -> None:
    one = learner(NUMBERS, optimizer=name, batch_size=4)
    assert one.update(call(0, 5, 4, 4)).skipped.tolist() == [0] * 5


def test_a_learning_rate_that_no_checkpoint_holds_is_refused() -> None:
    with pytest.raises(ModelError, match="the learning rate of its optimizer, sgd, is a function"):
        learner_of(compiled(lambda: keras.optimizers.SGD(lambda: 0.1)), NUMBERS)


# Averages of the weights.


def averaging() -> Any:
    return keras.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.9)


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_averages_of_the_weights_are_what_predicts(train: dict[str, Any], tmp_path: Any) -> None:
    one, model = assert_as_keras(compiled(averaging), NUMBERS, INPUT, Y, **train)
    raw = model(INPUT[:9]).numpy()
    np.testing.assert_allclose(one.model(INPUT[:9]).numpy(), raw, rtol=1e-5)
    before = one.state()
    one.export(tmp_path / "averaged.keras")
    assert one.state() == before
    model.optimizer.finalize_variable_values(model.trainable_weights)  # as `fit` does at its end
    expected = model(INPUT[:9]).numpy()
    assert np.abs(expected - raw).max() > 1e-3
    np.testing.assert_allclose(one.predict({FEATURES: INPUT[:9]})[LABEL], expected, rtol=1e-4)
    exported = keras.saving.load_model(tmp_path / "averaged.keras")
    np.testing.assert_allclose(exported(INPUT[:9]).numpy(), expected, rtol=1e-4)
    report = one.update(call(0, 1, 4, 4, x=INPUT))
    np.testing.assert_allclose(report.outputs[LABEL][0], expected[:4], rtol=1e-4)
    assert one.served_otherwise is None


def test_before_the_first_update_the_average_is_the_weights() -> None:
    one = learner(NUMBERS, optimizer={"adam": {"use_ema": True}})
    np.testing.assert_array_equal(one.predict({FEATURES: INPUT[:4]})[LABEL], one.model(INPUT[:4]).numpy())
    one.update(call(0, 10, 1, 4))
    one.reset_moments()
    np.testing.assert_allclose(one.predict({FEATURES: INPUT[:4]})[LABEL], one.model(INPUT[:4]).numpy(), rtol=1e-6)


# float16.


def test_float16_trains_with_a_loss_scale_as_in_keras() -> None:
    build = compiled(lambda: keras.optimizers.SGD(0.1), "mixed_float16")
    one, model = assert_as_keras(build, NUMBERS, INPUT, Y, rtol=1e-2, atol=1e-3)
    assert type(model.optimizer).__name__ == "LossScaleOptimizer"
    scales = [array for name, array in one.state().arrays.items() if "dynamic_scale" in name]
    assert scales == [2.0**15]


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_an_update_that_is_not_finite_lowers_the_loss_scale_alone(train: dict[str, Any]) -> None:
    x = INPUT.copy()
    x[9] = np.nan
    one = learner_of(compiled(OPTIMIZERS["loss scale"]), NUMBERS, **train)
    one.update(call(0, 9, 1, 4, x=x))
    before = one.state().arrays
    assert one.update(call(9, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    after = one.state().arrays
    changed = {name.rpartition("/")[2] for name in before if (before[name] != after[name]).any()}
    assert changed == {"step_counter", "dynamic_scale"}


def test_float16_without_a_compiled_optimizer_gets_a_loss_scale() -> None:
    def build(spec: SampleSpec) -> Any:
        model = keras.Sequential([keras.Input((spec.width,)), keras.layers.Dense(1, dtype="mixed_float16")])
        model.dtype_policy = keras.DTypePolicy("mixed_float16")
        return model

    one = learner_of(build, NUMBERS, optimizer="adam", loss="mse")
    one.update(call(0, 5, 1, 4, x=INPUT))
    assert any("dynamic_scale" in name for name in one.state().arrays)


def test_running_standardization_works_in_lower_precision() -> None:
    from learnd.daemon.training.layers import RunningStandardization

    def build(spec: SampleSpec) -> Any:
        policy = keras.DTypePolicy("mixed_bfloat16")
        layers = [RunningStandardization(dtype=policy), keras.layers.Dense(1, activation="sigmoid", dtype=policy)]
        return keras.Sequential([keras.Input((spec.width,)), *layers])

    one = learner_of(build, NUMBERS, batch_size=4)
    assert one.update(call(0, 5, 4, 4)).skipped.tolist() == [0] * 5
