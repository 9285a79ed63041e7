"""Whatever Keras has of optimizers and losses trains as by `train_on_batch`, and as by a plain loop: 200 updates each.

Optimizers and losses are found in Keras' registries. Each optimizer meets each loss once, on one of the models in turn;
every `_EACH`-th of these cases runs always, and all of them with `-m slow`. No model has an Embedding: for a category
that comes twice in a batch, Keras squares both gradients one by one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import call

from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import FEATURES, LABEL, Column, ColumnKind, SampleSpec, Task

ROWS, UPDATES, WIDTH = 8, 200, 6
_EACH = 41
_CLOSE = 1e-3  # of the largest weight; 200 updates in another order of rounding

LEFT_OUT = {
    "Optimizer": "the base class",
    "OptimizerMap": "a part of MultiOptimizer",
    "MultiOptimizer": "test_optimizers.py has it",
    "LossScaleOptimizer": "test_optimizers.py has it",
    "Loss": "the base class",
    "CTC": "it takes sequences of labels",
}

rng = np.random.default_rng(11)
X = rng.normal(size=(ROWS * UPDATES, WIDTH)).astype(np.float32)
X[:, 0] = rng.integers(0, 5, len(X))
SCORE = X[:, 1] * X[:, 2] + X[:, 3]
LABELS = {
    "binary": (SCORE > 0)[:, None].astype(np.float32),
    "classes": np.digitize(SCORE, [-0.7, 0.7])[:, None].astype(np.float32),
    "regression": np.abs(SCORE)[:, None].astype(np.float32),
}
TASKS = {
    "binary": Task("binary", 1, 1),
    "classes": Task("classes", 3, 1, ("a", "b", "c")),
    "regression": Task("regression", 1, 1),
}
ACTIVATIONS = {"binary": "sigmoid", "classes": "softmax", "regression": "softplus"}


def dense(inputs: Any) -> Any:
    return keras.layers.Dense(8, activation="tanh")(inputs)


def normalized(inputs: Any) -> Any:
    # A bias ahead of it has no gradient but what rounding leaves, of which most optimizers make whole steps.
    hidden = keras.layers.Dense(8, use_bias=False)(inputs)
    return keras.layers.LayerNormalization()(keras.layers.BatchNormalization()(hidden))


def convolution(inputs: Any) -> Any:
    steps = keras.layers.Reshape((WIDTH, 1))(inputs)
    return keras.layers.Flatten()(keras.layers.Conv1D(4, 3, activation="relu")(steps))


def recurrent(inputs: Any) -> Any:
    return keras.layers.GRU(4)(keras.layers.Reshape((WIDTH, 1))(inputs))


def attention(inputs: Any) -> Any:
    steps = keras.layers.Reshape((WIDTH, 1))(inputs)
    # A bias of keys has no gradient either.
    return keras.layers.Flatten()(keras.layers.MultiHeadAttention(2, 3, use_bias=False)(steps, steps))


def shared(inputs: Any) -> Any:
    layer = keras.layers.Dense(WIDTH, activation="tanh", kernel_regularizer="l2")
    return keras.layers.Add()([layer(inputs), layer(layer(inputs))])


def nested(inputs: Any) -> Any:
    inner = keras.Sequential([keras.Input((WIDTH,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(4)])
    return keras.layers.Concatenate()([inner(inputs), inputs])


MODELS = (dense, normalized, convolution, recurrent, attention, shared, nested)


def registered(module: Any, base: type) -> list[str]:
    found = [name for name in dir(module) if isinstance(cls := getattr(module, name), type) and issubclass(cls, base)]
    return [name for name in found if name not in LEFT_OUT]


def task_of(loss: str) -> str:
    if any(word in loss for word in ("Categorical", "KL", "Cosine", "Dice", "Tversky", "Circle")):
        return "classes"
    return "binary" if any(word in loss for word in ("Binary", "Hinge")) else "regression"


def cases() -> Iterator[Any]:
    optimizers = registered(keras.optimizers, keras.optimizers.Optimizer)
    losses = registered(keras.losses, keras.losses.Loss)
    for i, optimizer in enumerate(optimizers):
        for j, loss in enumerate(losses):
            number = i * len(losses) + j
            marks = [] if number % _EACH == 0 else [pytest.mark.slow]
            model = MODELS[(i + j) % len(MODELS)]
            yield pytest.param(model, optimizer, loss, marks=marks, id=f"{model.__name__}-{optimizer}-{loss}")


def builder(hidden: Callable[[Any], Any], optimizer: str, loss: str) -> Callable[[SampleSpec], Any]:
    def build(spec: SampleSpec) -> Any:
        inputs = keras.Input((spec.width,))
        outputs = keras.layers.Dense(spec.task.outputs, ACTIVATIONS[spec.task.kind], name="last")(hidden(inputs))
        model = keras.Model(inputs, outputs)
        of_keras = getattr(keras.optimizers, optimizer)(0.003)
        model.compile(of_keras, getattr(keras.losses, loss)(), jit_compile=False)
        return model

    return build


@pytest.mark.parametrize(("hidden", "optimizer", "loss"), [*cases()])
def test_it_trains_as_in_keras(hidden: Callable[[Any], Any], optimizer: str, loss: str) -> None:
    kind = task_of(loss)
    spec = SampleSpec.of_columns([Column(f"x{i}", ColumnKind.NUMBER) for i in range(WIDTH)], TASKS[kind])
    build = builder(hidden, optimizer, loss)
    one, trained, looped = (
        learner_of(build, spec, batch_size=ROWS, max_updates_per_call=UPDATES),
        build(spec),
        build(spec),
    )
    for model in (trained, looped):
        model.set_weights(one.model.get_weights())
        model.optimizer.build(model.trainable_variables)  # in a traced update, some would start anew with each
    start = [weight.numpy() for weight in one.model.weights]
    y = LABELS[kind]
    theirs = y
    if kind == "classes":
        indices = "Sparse" in loss or loss in ("Circle", "CategoricalGeneralizedCrossEntropy")
        theirs = y[:, 0] if indices else np.eye(3, dtype=np.float32)[y[:, 0].astype(int)]
    report = one.update(call(0, UPDATES, ROWS, WIDTH, x=X, y=y))
    assert report.skipped.sum() == 0
    for begin in range(0, len(X), ROWS):
        trained.train_on_batch(X[begin : begin + ROWS], theirs[begin : begin + ROWS])
    by_loop(looped, theirs)
    for expected in (trained, looped):
        same = closeness(one.model.weights, expected.weights) < _CLOSE and np.allclose(
            one.predict({FEATURES: X[:50]})[LABEL], expected(X[:50]), rtol=1e-2, atol=_CLOSE
        )
        assert same, closeness(one.model.weights, expected.weights)
    moved = [np.abs(a.numpy() - b).max() for a, b in zip(one.model.weights, start, strict=True)]
    assert max(moved) > 1e-4  # it has trained


def by_loop(model: Any, labels: Any) -> None:
    """Train as one would by hand."""
    loss, optimizer = model.loss, model.optimizer

    @tf.function
    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True)) + sum(model.losses)
        gradients = tape.gradient(value, [variable.value for variable in model.trainable_variables])
        optimizer.apply([tf.convert_to_tensor(gradient) for gradient in gradients], model.trainable_variables)

    for begin in range(0, len(X), ROWS):
        step(X[begin : begin + ROWS], labels[begin : begin + ROWS])


def closeness(mine: Any, theirs: Any) -> float:
    """Return the largest difference of two lists of weights, as a share of the largest weight."""
    pairs = [(a.numpy(), b.numpy()) for a, b in zip(mine, theirs, strict=True)]
    return float(max(np.abs(a - b).max() for a, b in pairs) / max(np.abs(b).max() for _, b in pairs))
