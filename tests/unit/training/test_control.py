"""What reactions do to a learner: exact at every sample, and part of its state."""

from collections.abc import Callable

import numpy as np
import pytest
from learners import MIXED, bits, call, learner

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.rate import LearningRate
from learnd.daemon.training.runtime import keras

CONTROLS: list[Callable[[KerasLearner], object]] = [
    lambda one: one.boost(5, 30),
    lambda one: one.slow_down(0.5),
    lambda one: one.reset_moments(),
    lambda one: one.refit_standardization(),
]


def test_a_boost_falls_back_linearly_over_its_samples() -> None:
    rate = LearningRate(0.1)
    rate.samples = 100
    rate.boost(5, over=10)
    np.testing.assert_allclose(rate.of(12, 1, 12), [0.1 * max(1.0, 5 - 0.4 * n) for n in range(13)], rtol=1e-6)
    rate.samples = 105
    np.testing.assert_allclose(rate.of(2, 4, 2), [0.3, 0.14, 0.1], rtol=1e-6)


def test_factors_multiply_and_one_boost_replaces_another() -> None:
    rate = LearningRate(1.0)
    rate.slow_down(0.5)
    rate.slow_down(0.5)
    rate.boost(8, over=100)
    rate.boost(2, over=100)
    assert rate.of(0, 1, 2)[0] == 0.5


def test_a_phase_warms_up_and_its_schedule_counts_its_samples() -> None:
    rate = LearningRate(1.0)
    rate.samples = 1000
    rate.begin_phase(keras.optimizers.schedules.PolynomialDecay(1.0, 100, 0.5), warm_up=10)
    rates = rate.of(100, 1, 100)
    np.testing.assert_allclose(rates[:3], [0.1, 0.19 * 0.995, 0.28 * 0.99], rtol=1e-6)
    np.testing.assert_allclose(rates[[10, 50, 100]], [0.95, 0.75, 0.5], rtol=1e-6)


def test_without_a_factor_the_rate_is_that_of_the_settings_to_the_bit() -> None:
    assert set(LearningRate(0.001).of(7, 3, 7).tolist()) == {float(np.float32(0.001))}


@pytest.mark.parametrize("xla", [True, False])
def test_controls_are_exact_however_updates_are_grouped_and_across_a_restore(xla: bool) -> None:
    results = set()
    for schedule, restored_after in (([20, 20], ()), ([1, 12, 7, 3, 17], (0, 2))):
        one = learner(model={"hidden": [8]}, optimizer="adam", xla=xla)
        one.update(call(0, 15, 1))
        for control in CONTROLS:
            control(one)
        done = 15
        for number, updates in enumerate(schedule):
            one.update(call(done, updates, 1))
            done += updates
            if number in restored_after:
                other = learner(model={"hidden": [8]}, optimizer="adam", xla=xla)
                other.restore(one.state())
                one = other
        results.add(bits(one))
    assert len(results) == 1


def test_the_learning_rate_shows_what_holds_now() -> None:
    one = learner(optimizer={"sgd": {"learning_rate": 0.25}})
    one.boost(3, over=20)
    assert one.learning_rate == 0.75
    one.update(call(0, 10, 1))
    assert one.learning_rate == 0.5
    one.update(call(10, 20, 1))
    assert one.learning_rate == 0.25


@pytest.mark.parametrize("train", [{"xla": True}, {"xla": False}, {"step": "train_on_batch"}])
def test_a_rate_of_nothing_trains_nothing(train: dict[str, object]) -> None:
    one = learner(optimizer={"sgd": {"momentum": 0.9}}, **train)
    one.update(call(0, 5, 1))
    one.reset_moments()
    one.slow_down(1e-30)
    before = [variable.numpy() for variable in one.model.trainable_variables]
    one.update(call(5, 5, 1))
    for variable, value in zip(one.model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=0, atol=1e-25)


def test_moments_that_are_reset_are_those_of_a_new_optimizer() -> None:
    for optimizer in ("nadam", {"adagrad": {"initial_accumulator_value": 0.25}}):
        new = learner(optimizer=optimizer)
        used = learner(optimizer=optimizer)
        used.update(call(0, 5, 1))
        used.reset_moments()
        arrays, expected = used.state().arrays, new.state().arrays
        for name in (name for name in arrays if name.startswith("optimizer/")):
            np.testing.assert_array_equal(arrays[name], expected[name])


def test_there_is_no_phase_to_go_on_to_without_phases() -> None:
    one = learner(MIXED)
    before = bits(one)
    assert one.next_phase("command", 0) is None
    assert (one.phase, one.phase_ends_on) == (0, None)
    assert bits(one) == before


@pytest.mark.parametrize("train", [{"xla": True}, {"xla": False}, {"step": "train_on_batch"}])
def test_an_update_is_undone_to_the_bit(train: dict[str, object]) -> None:
    phases = [{"unfreeze": "output", "until": {"samples": 60}}, {}]
    one = learner(model={"hidden": [8]}, optimizer="adam", phases=phases, metrics=["accuracy"], **train)
    for start, rows in ((0, 1), (40, 1), (80, 7)):
        before = bits(one)
        for _ in range(2):
            one.update(call(start, 40 if rows == 1 else 1, rows, partial=rows > 1))
            assert bits(one) != before
            one.undo()
            assert bits(one) == before
        one.update(call(start, 40 if rows == 1 else 1, rows, partial=rows > 1))
    assert one.phase == 1
