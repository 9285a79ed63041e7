"""Recurrent layers that carry their state from sample to sample: `stateful=True`, one sample an update."""

from typing import Any

import numpy as np
import pytest
from any_model import assert_as_keras, learner_of
from learners import BINARY, bits, call

from learnd.daemon.errors import ModelError
from learnd.daemon.training.carried import carried_states
from learnd.daemon.training.runtime import keras
from learnd.daemon.values import FEATURES, LABEL, InputSpec, SampleSpec, TargetSpec

STEPS = 3
rng = np.random.default_rng(6)
X = rng.normal(size=(40, STEPS, 2)).astype(np.float32)
Y = (np.roll(X.sum(axis=(1, 2)), 1) > 0)[:, None].astype(np.float32)  # what the sample before says
SPEC = SampleSpec((InputSpec(FEATURES, (STEPS, 2)),), (TargetSpec(LABEL, BINARY),))


def carrying(_: SampleSpec, **more: Any) -> Any:
    given = keras.Input(batch_shape=(1, STEPS, 2))
    hidden = keras.layers.GRU(4, stateful=True, **more)(given)
    model = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", jit_compile=False)
    return model


def dropping(spec: SampleSpec) -> Any:
    return carrying(spec, dropout=0.5)


def states(model: Any) -> list[Any]:
    return [state.numpy() for state in carried_states(model)]


def test_it_trains_as_in_keras_and_carries_the_state_once_an_update() -> None:
    one, model = assert_as_keras(carrying, SPEC, X, Y, rows=1, updates=30)
    assert len(states(one.model)) == 1
    assert np.abs(states(one.model)[0]).max() > 0
    np.testing.assert_allclose(states(one.model), states(model), rtol=1e-4)


@pytest.mark.parametrize("build", [carrying, dropping], ids=["as it is", "with a pass before the update"])
def test_the_length_of_calls_and_predictions_change_no_bit(build: Any) -> None:
    digests = set()
    for length in (1, 8):
        one = learner_of(build, SPEC, batch_size=1, max_updates_per_call=8)
        for start in range(0, 40, length):
            one.update(call(start, length, 1, STEPS, x=X, y=Y))
            one.predict({FEATURES: X[:3]})
        digests.add(bits(one))
    assert len(digests) == 1


def test_predictions_start_from_the_state_that_the_model_is_in() -> None:
    one = learner_of(carrying, SPEC, batch_size=1)
    one.update(call(0, 20, 1, STEPS, x=X, y=Y))
    alone = [one.predict({FEATURES: X[row : row + 1]})[LABEL] for row in (5, 6)]
    np.testing.assert_array_equal(one.predict({FEATURES: X[5:7]})[LABEL], np.concatenate(alone))
    report = one.update(call(20, 1, 1, STEPS, x=X, y=Y))
    other = learner_of(carrying, SPEC, batch_size=1)
    other.update(call(0, 20, 1, STEPS, x=X, y=Y))
    np.testing.assert_allclose(other.predict({FEATURES: X[20:21]})[LABEL], report.outputs[LABEL][0], rtol=1e-5)


def test_a_state_goes_out_and_in() -> None:
    one, other = (learner_of(carrying, SPEC, batch_size=1) for _ in range(2))
    one.update(call(0, 20, 1, STEPS, x=X, y=Y))
    other.restore(one.state())
    for each in (one, other):
        each.update(call(20, 20, 1, STEPS, x=X, y=Y))
    assert bits(one) == bits(other)


def test_more_than_one_sample_an_update_is_refused() -> None:
    with pytest.raises(ModelError, match=r"one sample at a time, and train\.batch_size is 4"):
        learner_of(carrying, SPEC, batch_size=4)
