"""The default optimizer against its formula, and the last layer of the preset that it trains."""

from __future__ import annotations

import numpy as np
import pytest
from learners import learner

from learnd.daemon.training.models import create_model
from learnd.daemon.training.regenerative import RegenerativeRMSprop, origins_of
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import Column, ColumnKind, SampleSpec, Task

STEPS = 7


def weights() -> list[keras.Variable]:
    return [keras.Variable(np.array([0.5, -2.0, 0.0], "float32"), name="kernel"), keras.Variable(0.25, name="bias")]


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step)
    return [rng.normal(size=3).astype("float32"), np.float32(rng.normal())]


@pytest.mark.parametrize("pull", [0.03, 0.0])
@pytest.mark.parametrize("early", [100, 0])
def test_updates_follow_the_formula(pull: float, early: int) -> None:
    trained, optimizer = weights(), RegenerativeRMSprop(0.02, beta_2=0.9, pull=pull, early_updates=early)
    optimizer.build(trained)
    for step in range(1, STEPS + 1):
        optimizer.apply(gradients(step), trained)
    for index, variable in enumerate(weights()):
        start = np.asarray(variable.value, np.float64)
        w, v = start, np.zeros_like(start)
        for t in range(1, STEPS + 1):
            g = np.asarray(gradients(t)[index], np.float64)
            v = 0.9 * v + 0.1 * g**2
            rate = 0.02 * (1 + 2 * early / (early + t))
            w = w - rate * (np.sqrt(1 - 0.9**t) * g / (np.sqrt(v) + 1e-7) + pull * (w - start))
        np.testing.assert_allclose(trained[index].numpy(), w, rtol=2e-5)


def test_without_gradients_the_weights_go_back_but_embeddings_stay() -> None:
    kernel, table = keras.Variable(np.ones(2), name="kernel"), keras.Variable(np.ones((4, 2)), name="embeddings")
    optimizer = RegenerativeRMSprop()
    optimizer.build([kernel, table])
    kernel.assign(np.full(2, 3.0))
    table.assign(np.full((4, 2), 3.0))
    for _ in range(100):
        optimizer.apply([np.zeros(2, "float32"), np.zeros((4, 2), "float32")], [kernel, table])
    assert (kernel.numpy() < 2.99).all()
    assert (kernel.numpy() > 1).all()
    assert (table.numpy() == 3.0).all()


def test_its_configuration_makes_the_same_optimizer() -> None:
    optimizer = RegenerativeRMSprop(0.01, beta_2=0.99, pull=0.5, early_updates=7, epsilon=1e-5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, RegenerativeRMSprop)
    assert again.get_config() == optimizer.get_config()


def test_a_reset_of_the_moments_keeps_where_the_weights_started() -> None:
    trained = learner()
    before = [origin.numpy() for origin in origins_of(trained._network.optimizing.optimizer)]
    assert before
    for variable in trained._network.model.trainable_variables:
        variable.assign(variable.value + 1)
    for velocity in trained._network.optimizing.optimizer._velocities:
        velocity.assign(velocity.value + 1)
    trained._network.optimizing.reset()
    for origin, value in zip(origins_of(trained._network.optimizing.optimizer), before, strict=True):
        np.testing.assert_array_equal(origin.numpy(), value)
    assert not any(np.any(velocity.numpy()) for velocity in trained._network.optimizing.optimizer._velocities)


def test_settings_can_name_it() -> None:
    given = learner(
        optimizer={"regenerative_rmsprop": {"learning_rate": 0.001, "pull": 0.0}}
    )._network.optimizing.optimizer
    assert isinstance(given, RegenerativeRMSprop)
    assert given.pull == 0.0
    assert not [name for name in learner(optimizer="sgd").state().arrays if name.endswith("origin")]


def test_the_last_layer_sees_the_inputs_too_and_starts_from_the_hidden_units_alone() -> None:
    spec = SampleSpec.of_columns([Column("a", ColumnKind.NUMBER), Column("b", ColumnKind.NUMBER)], Task("binary", 1, 1))
    kernel = create_model(ModelSettings(hidden=[5, 3]), spec).get_layer("output").kernel.numpy()
    assert kernel.shape == (3 + 2, 1)
    assert (kernel[:3] != 0).all()
    assert (kernel[3:] == 0).all()
    linear = create_model(ModelSettings(preset="linear"), spec).get_layer("output").kernel.numpy()
    assert linear.shape == (2, 1)
    assert (linear != 0).all()
