"""Losses are what Keras computes, whatever is given: weights are compared with those of `train_on_batch`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from any_model import assert_as_keras, learner_of
from learners import NUMBERS, X, Y, call, learner
from structlog.testing import capture_logs

from learnd.daemon.training.runtime import keras
from learnd.daemon.values import LABEL, SampleSpec, Task

CLASSES = SampleSpec.of_columns(NUMBERS.columns, Task("classes", 4, 1, ("a", "b", "c", "d")))
FOUR = SampleSpec.of_columns(NUMBERS.columns, Task("regression", 4, 4))
INPUT = ((X[:, :4] - 3) / 2).astype(np.float32)
LABELS = (X[:, 4:] % 4).astype(np.float32)
ONE_HOT = np.eye(4, dtype=np.float32)[LABELS[:, 0].astype(int)]
WEIGHT = np.random.default_rng(3).choice([0.5, 1, 2], len(X)).astype(np.float32)


def compiled(loss: Any, activation: str | None = "softmax", **more: Any) -> Callable[[SampleSpec], Any]:
    """Return a builder of a small model that is compiled with a loss."""

    def build(spec: SampleSpec) -> Any:
        hidden = keras.layers.Dense(6, activation="tanh")
        last = keras.layers.Dense(spec.task.outputs, activation=activation, name="last")
        model = keras.Sequential([keras.Input((spec.width,)), hidden, last])
        given = loss() if isinstance(loss, type) else loss
        model.compile(keras.optimizers.SGD(0.1), given, jit_compile=False, **more)
        return model

    return build


def squares(truth: Any, prediction: Any) -> Any:
    return keras.ops.square(truth - prediction)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_function_of_several_values_a_sample_is_not_multiplied_crosswise(weight: Any) -> None:
    assert_as_keras(compiled(squares, "sigmoid"), NUMBERS, INPUT, Y, weight=weight)
    if weight is None:  # Keras itself multiplies (4, 4) by (4,) crosswise
        assert_as_keras(compiled(squares, None), FOUR, INPUT, INPUT)


def test_weights_of_samples_are_of_rows_where_there_are_as_many_columns() -> None:
    one = learner_of(compiled(squares, None), FOUR, batch_size=4)
    some = call(0, 1, 4, 4, x=INPUT, y=INPUT)
    some.batches.weight[0] = [1, 0, 2, 0.5]
    report = one.update(some)
    errors = (report.outputs[LABEL][0] - INPUT[:4]) ** 2
    np.testing.assert_allclose(report.loss, [(errors * [[1], [0], [2], [0.5]]).mean()], rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        "KLDivergence",
        "CategoricalHinge",
        "CosineSimilarity",
        "Dice",
        "Tversky",
        "MeanSquaredError",
        "CategoricalCrossentropy",
        "CategoricalFocalCrossentropy",
        "Huber",
    ],
)
def test_losses_of_classes_that_compare_columns_get_one_hot_labels(loss: str) -> None:
    of_keras, weight = getattr(keras.losses, loss), WEIGHT if loss != "Dice" else None
    assert_as_keras(compiled(of_keras), CLASSES, INPUT, LABELS, given=ONE_HOT, weight=weight)


def test_a_loss_of_the_settings_gets_one_hot_labels_too() -> None:
    one = learner(CLASSES, loss="categorical_crossentropy", batch_size=4)
    other = learner(CLASSES, loss="sparse_categorical_crossentropy", batch_size=4)
    for each in (one, other):
        each.update(call(0, 10, 4, 4, y=LABELS))
    for mine, theirs in zip(one.model.weights, other.model.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_ignored_classes_take_their_part_of_the_mean(train: dict[str, Any]) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=2)
    assert_as_keras(compiled(loss), CLASSES, INPUT, LABELS, weight=WEIGHT, **train)


def test_labels_that_are_indices_stay_so() -> None:
    assert_as_keras(compiled(keras.losses.Circle, None), CLASSES, INPUT, LABELS, updates=2)  # it soon diverges


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight", None])
def test_a_reduction_is_kept(reduction: str | None) -> None:
    loss = keras.losses.MeanAbsoluteError(reduction=reduction)
    if reduction is None:  # Keras reports a mean, and descends the sum
        summed = keras.losses.MeanAbsoluteError(reduction="sum")
        one = learner_of(compiled(loss, "sigmoid"), NUMBERS, batch_size=4)
        other = learner_of(compiled(summed, "sigmoid"), NUMBERS, batch_size=4)
        for each in (one, other):
            each.update(call(0, 12, 4, 4, x=INPUT))
        assert one.state() == other.state()
    else:
        assert_as_keras(compiled(loss, "sigmoid"), NUMBERS, INPUT, Y, weight=WEIGHT)


@pytest.mark.parametrize("weights", [3.0, [3.0]])
def test_a_model_compiled_with_loss_weights_keeps_them(weights: Any) -> None:
    assert_as_keras(compiled("mse", "sigmoid", loss_weights=weights), NUMBERS, INPUT, Y)


class Power(keras.losses.Loss):  # type: ignore[misc]
    """Is not registered, and takes an argument that no configuration holds."""

    def __init__(self, power: float, **more: Any) -> None:
        super().__init__(**more)
        self.power = power

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** self.power, axis=-1)


class WithCall(keras.losses.Loss):  # type: ignore[misc]
    """Takes no keys of a configuration, and weighs samples in a way of its own."""

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:  # noqa: ARG002
        return keras.ops.mean((y_true - y_pred) ** 2)


@pytest.mark.parametrize("loss", [Power(3.0), Power(1.5, reduction="sum"), WithCall()])
@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_a_loss_of_ones_own_is_kept_as_it_is(loss: Any, train: dict[str, Any]) -> None:
    assert_as_keras(compiled(loss, "sigmoid"), NUMBERS, INPUT, Y, updates=6, **train)


class OfLogits(keras.losses.Loss):  # type: ignore[misc]
    """Takes logits, and says so."""

    from_logits = True

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.softplus(y_pred) - y_true * y_pred, axis=-1)


class OfLogitsUntold(OfLogits):
    from_logits = False


def test_a_loss_that_says_that_it_takes_logits_is_scored_with_probabilities() -> None:
    with capture_logs() as logs:
        one = learner_of(compiled(OfLogits(), None), NUMBERS, batch_size=4)
    assert not [line for line in logs if line["event"] == "model_doubtful"]
    logits = one.model(INPUT[:4]).numpy()
    report = one.update(call(0, 1, 4, 4, x=INPUT))
    np.testing.assert_allclose(report.outputs[LABEL][0], 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_a_loss_of_ones_own_over_logits_is_told_of() -> None:
    with capture_logs() as logs:
        learner_of(compiled(OfLogitsUntold(), None), NUMBERS)
    (told,) = [line for line in logs if line["event"] == "model_doubtful"]
    assert "from_logits = True" in told["way_out"]
    assert "sigmoid" in told["way_out"]


@pytest.mark.parametrize("name", ["TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "CategoricalAccuracy"])
def test_metrics_of_classes_get_the_labels_that_they_take(name: str) -> None:
    arguments = {"k": 2} if "TopK" in name else {}
    one = learner(CLASSES, metrics=[{name: {"name": "metric", **arguments}}], batch_size=4)
    report = one.update(call(0, 20, 4, 4, y=LABELS))
    found = report.outputs[LABEL].reshape(-1, 4)
    metric = getattr(keras.metrics, name)(**arguments)
    metric.update_state(LABELS[:80] if "Sparse" in name else ONE_HOT[:80], found)
    assert one.metric_results() == {"metric": pytest.approx(float(metric.result()))}
    assert 0 < float(metric.result()) < 1
