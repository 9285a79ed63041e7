"""Predictions are pure and made in inference mode; what an update needs and cannot change does no harm."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import NUMBERS, X, call

from learnd.daemon.errors import ModelError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.step.passes import predicts_differently
from learnd.daemon.values import FEATURES, LABEL, SampleSpec

INPUT = ((X[:, :4] - 3) / 2).astype(np.float32)


def stack(*layers: Callable[[], Any]) -> Callable[[SampleSpec], Any]:
    def build(spec: SampleSpec) -> Any:
        last = keras.layers.Dense(1, activation="sigmoid")
        return keras.Sequential([keras.Input((spec.width,)), *(layer() for layer in layers), last])

    return build


class Noise(keras.layers.Layer):  # type: ignore[misc]
    """Draws and counts in inference, too, as layers for augmentation do."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(3)

    def build(self, _shape: Any) -> None:
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        self.calls.assign(self.calls + 1)
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.seeds)


@pytest.mark.parametrize("train", [{}, {"xla": True}, {"step": "train_on_batch"}])
def test_predictions_change_nothing(train: dict[str, Any]) -> None:
    one, other = (learner_of(stack(Noise, lambda: keras.layers.Dropout(0.5)), NUMBERS, **train) for _ in range(2))
    for _ in range(3):
        before = one.state()
        found = one.predict({FEATURES: INPUT[:50]})[LABEL]
        np.testing.assert_array_equal(one.predict({FEATURES: INPUT[:50]})[LABEL], found)
        assert one.state() == before
        for each in (one, other):
            each.update(call(0, 5, 1, 4, x=INPUT))
    assert one.state() == other.state()
    counts = [array for name, array in one.state().arrays.items() if "noise/variable" in name]
    assert counts == [15.0]  # training passes alone


class Branch(keras.Model):  # type: ignore[misc]
    """Asks itself whether it trains; none of its layers does."""

    def __init__(self) -> None:
        super().__init__()
        self.last = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.last(3 * inputs if training else inputs)


def test_a_branch_of_the_models_own_is_scored_in_inference() -> None:
    one = learner_of(lambda _: Branch(), NUMBERS)
    expected = one.predict({FEATURES: INPUT[:1]})[LABEL]
    np.testing.assert_allclose(one.update(call(0, 1, 1, 4, x=INPUT)).outputs[LABEL][0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "differs"),
    [
        (lambda: keras.layers.Dense(3), False),
        (lambda: keras.Sequential([keras.layers.Reshape((4, 1)), keras.layers.LSTM(2)]), False),
        (lambda: keras.Sequential([keras.layers.Reshape((4, 1)), keras.layers.LSTM(2, dropout=0.5)]), True),
        (lambda: keras.layers.Dropout(0.5), True),
        (lambda: keras.layers.Dropout(0.0), False),
        (keras.layers.BatchNormalization, True),
        (lambda: keras.layers.BatchNormalization(trainable=False), False),
        (lambda: keras.layers.GaussianNoise(0.1), True),
    ],
)
def test_a_second_pass_is_made_where_training_differs_alone(layer: Callable[[], Any], differs: bool) -> None:
    one = learner_of(stack(layer), NUMBERS, batch_size=2)
    parts = one._network.parts
    assert predicts_differently(parts) is differs
    assert predicts_differently(parts) is differs  # however much was traced before


class Masked(keras.layers.Layer):  # type: ignore[misc]
    """Has a constant of minus infinity."""

    def build(self, shape: Any) -> None:
        self.mask = self.add_weight(shape=(shape[-1],), trainable=False, initializer="zeros")
        self.mask.assign([0.0] + [-np.inf] * (shape[-1] - 1))
        self.mean = self.add_weight(shape=(), trainable=False, initializer="zeros")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.mean(inputs[:, 1:]))
        return inputs * keras.ops.softmax(self.mask)


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_a_constant_of_minus_infinity_stops_no_update(train: dict[str, Any]) -> None:
    one = learner_of(stack(Masked), NUMBERS, **train)
    before = one.state()
    assert one.update(call(0, 5, 1, 4, x=INPUT)).skipped.tolist() == [0] * 5
    assert one.state() != before
    x = INPUT.copy()
    x[5, 2] = np.inf  # the mask hides it from the loss, and the mean takes it up
    before = one.state()
    assert one.update(call(5, 1, 1, 4, x=x)).skipped.tolist() != [0]
    assert {n for n, a in before.arrays.items() if not np.array_equal(a, one.state().arrays[n])} <= {
        n for n in before.arrays if n.startswith("guard/")
    }


# Look-up tables.


class Looked(keras.layers.Layer):  # type: ignore[misc]
    """Looks the first column up in the table of a Keras layer."""

    def __init__(self, kind: str, words: list[str]) -> None:
        super().__init__()
        self.kind = kind
        if kind == "TextVectorization":
            self.table = keras.layers.TextVectorization(vocabulary=words, output_sequence_length=1)
        elif kind == "StringLookup":
            self.table = keras.layers.StringLookup(vocabulary=words)
        else:
            self.table = keras.layers.IntegerLookup(vocabulary=[int(word) for word in words])
        self.words = keras.layers.Embedding(9, 2)

    def call(self, inputs: Any) -> Any:
        column = tf.cast(inputs[:, :1], tf.int64)
        given = column if self.kind == "IntegerLookup" else tf.strings.as_string(column)
        return self.words(self.table(given))[:, 0]


@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_tables_of_lookups_are_no_variables(kind: str) -> None:
    def of(words: list[str]) -> KerasLearner:
        return learner_of(stack(lambda: Looked(kind, words)), NUMBERS)

    one = of(["1", "2", "3"])
    assert one.update(call(0, 40, 1, 4, x=np.abs(X))).skipped.tolist() == [0] * 40
    state = one.state()
    again, other = of(["1", "2", "3"]), of(["2", "1", "3"])
    again.restore(state)
    assert not again.changes
    other.restore(state)
    assert any("vocabular" in change for change in other.changes)


class Learning(keras.layers.Layer):  # type: ignore[misc]
    """Writes into a table while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        keys = tf.cast(inputs[:, 0], tf.int64)
        if training:
            self.table.insert(keys, inputs[:, 1])
        return inputs * tf.reshape(self.table.lookup(keys), (-1, 1))

    def compute_output_spec(self, inputs: Any, **_: Any) -> Any:
        return keras.KerasTensor(inputs.shape)


def test_a_table_that_updates_write_is_refused() -> None:
    with pytest.raises(ModelError, match="write into a look-up table"):
        learner_of(stack(Learning), NUMBERS).compile()
