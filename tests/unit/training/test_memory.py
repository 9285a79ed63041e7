"""`train.memory`: what is kept of a stream, what trains again, and that none of it depends on calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import BINARY, MIXED, NUMBERS, X, Y, bits, call, learner
from scipy.special import expit

from learnd.daemon.errors import ModelError, StateMismatchError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.losses import TargetLoss
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.step.replay import _compared
from learnd.daemon.values import FEATURES, LABEL, Call, InputSpec, Samples, SampleSpec, Skip, TargetSpec, Task

CLASSES = SampleSpec.of_columns(NUMBERS.columns, Task("classes", 3, 1, ("a", "b", "c")))
NUMBER = SampleSpec.of_columns(NUMBERS.columns, Task("regression", 1, 1))
ROWS = X.copy()
ROWS[:, 0] = np.arange(len(ROWS))  # tells a sample from all others
RARE = np.where(np.arange(len(X)) % 20 == 3, 1, np.where(np.arange(len(X)) % 50 == 7, 2, 0))[:, None].astype(np.float32)


def linear(spec: SampleSpec) -> Any:
    activation = {"binary": "sigmoid", "classes": "softmax"}.get(spec.task.kind, "linear")
    layer = keras.layers.Dense(spec.task.outputs, activation=activation)
    return keras.Sequential([keras.Input((spec.width,)), layer])


def remembering(spec: SampleSpec = NUMBERS, memory: dict[str, Any] | None = None, **train: Any) -> KerasLearner:
    return learner_of(linear, spec, memory=memory or {}, **{"optimizer": {"sgd": {"learning_rate": 1e-9}}, **train})


def held(one: KerasLearner, what: str) -> Any:
    (found,) = [value for name, value in one.state().arrays.items() if name.endswith(f"memory/{what}")]
    return found


def feed(one: KerasLearner, samples: int, rows: int = 1, x: Any = ROWS, y: Any = Y) -> None:
    """Train on samples, 32 updates a call."""
    for start in range(0, samples // rows, 32):
        one.update(call(start * rows, min(32, samples // rows - start), rows, 4, x=x, y=y))


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("kind", ["ring", "reservoir", "balanced"])
def test_what_is_held_are_samples_of_the_stream_with_their_labels(kind: str, rows: int) -> None:
    one = remembering(memory={"kind": kind, "size": 50}, batch_size=rows)
    feed(one, 400, rows)
    inputs, labels = held(one, f"input_{FEATURES}"), held(one, f"target_{LABEL}")
    which = inputs[:, 0].astype(int)
    assert len(set(which)) == 50
    np.testing.assert_array_equal(inputs, ROWS[which, :4])
    np.testing.assert_array_equal(labels, Y[which])
    if kind == "ring":
        assert sorted(which) == [*range(350, 400)]
    else:
        assert 10 < (which < 200).sum() < 40, "drawn from all of the stream"


def test_a_balanced_memory_holds_as_many_of_each_class_as_there_are() -> None:
    one = remembering(CLASSES, {"size": 60})
    feed(one, 2000, y=RARE)
    assert one.memory() == {"held": {"a": 20, "b": 20, "c": 20}, "replayed": 8 * 1999}
    labels, which = held(one, f"target_{LABEL}")[:, 0], held(one, f"input_{FEATURES}")[:, 0].astype(int)
    np.testing.assert_array_equal(labels, RARE[which, 0])
    for label in range(3):
        came = np.flatnonzero(RARE[:2000, 0] == label)
        places = np.searchsorted(came, which[labels == label]) / len(came)
        assert 0.25 < places.mean() < 0.75, "those of a class come from all of it"


def test_a_regression_has_a_reservoir() -> None:
    one = remembering(NUMBER, {"size": 30})
    feed(one, 100)
    assert one.memory() == {"held": {"all": 30}, "replayed": 8 * 99}


def _bce(y: Any, p: Any) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("distill", [None, 0.5])
def test_an_update_descends_the_loss_that_the_page_names(distill: float | None, reduction: str) -> None:
    """With room for one sample, what trains again is the sample before."""
    loss = {"binary_crossentropy": {"reduction": reduction}}
    memory = {"kind": "ring", "size": 1, "per_update": 2, "distill": distill}
    one = remembering(memory=memory, optimizer={"sgd": {"learning_rate": 0.01}}, loss=loss)
    x, y = np.concatenate([X[:2, :4], np.ones((2, 1))], axis=1).astype(np.float64), Y[:2, 0].astype(np.float64)

    def weights() -> Any:
        kernel, bias = one.model.get_weights()
        return np.concatenate([kernel[:, 0], bias]).astype(np.float64)

    first = weights()
    one.update(call(0, 1, 1, 4))
    second = weights()
    np.testing.assert_allclose(second, first - 0.01 * (expit(x[0] @ first) - y[0]) * x[0], rtol=1e-4, atol=1e-6)
    report = one.update(call(1, 1, 1, 4))
    new, old = (expit(x[at] @ second) - y[at] for at in (1, 0))
    apart = (distill or 0) * 2 * (x[0] @ second - x[0] @ first)
    if reduction == "sum":
        gradient = new * x[1] + 2 * (old + apart) * x[0]
    else:
        gradient = (new * x[1] + 2 * (old + apart) * x[0]) / 3
    np.testing.assert_allclose(weights(), second - 0.01 * gradient, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(report.loss, [_bce(y[1], expit(x[1] @ second))], rtol=1e-4, err_msg="the loss reported")


def test_what_is_compared_of_classes_are_their_logits() -> None:
    one = remembering(CLASSES, {"size": 1, "kind": "ring"})
    feed(one, 1, y=RARE)
    probabilities = held(one, f"output_{LABEL}")[0]
    compared = _compared(TargetLoss(None, 1, tf.identity, tf.identity), "softmax")
    kernel, bias = one.model.get_weights()
    logits = ROWS[0, :4] @ kernel + bias
    np.testing.assert_allclose(compared(probabilities), logits - logits.mean(), atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "rows", "xla"),
    [(NUMBERS, 1, True), (NUMBERS, 4, False), (CLASSES, 1, False), (NUMBER, 4, False)],
)
def test_how_updates_are_grouped_does_not_show(spec: SampleSpec, rows: int, xla: bool) -> None:
    y = RARE if spec is CLASSES else Y
    one = remembering(spec, {"size": 20}, batch_size=rows, xla=xla, max_updates_per_call=64, optimizer=None)
    start, ends = one.state(), []
    for length in (64, 7, 1):
        one.restore(start)
        for first in range(0, 64, length):
            one.update(call(first * rows, min(length, 64 - first), rows, 4, y=y))
        ends.append(bits(one))
    assert len(set(ends)) == 1
    one.update(call(64 * rows, 9, rows, 4, y=y))
    one.undo()
    assert bits(one) == ends[0], "what is taken back leaves nothing"


def test_a_partial_batch_is_kept_too() -> None:
    one = remembering(memory={"size": 20, "kind": "ring"}, batch_size=4)
    one.update(call(0, 2, 4, 4))
    one.update(call(8, 1, 3, 4, partial=True))
    assert one.memory()["held"] == {"all": 11}


def test_a_skipped_update_is_counted_by_the_memory_and_leaves_it_alone_else() -> None:
    one, x = remembering(memory={"size": 20}), X.copy()
    feed(one, 40)
    names = [name for name in one.state().arrays if name.startswith("memory/")]
    before = one.state().arrays
    x[40, 1] = np.inf
    assert one.update(call(40, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    after = one.state().arrays
    assert len(names) > 5
    for name in names:
        counted = [0, 0, 0, 1] if name.endswith("/counts") and before[name].ndim == 1 else 0
        np.testing.assert_array_equal(after[name] - before[name], counted, err_msg=name)


def test_a_memory_of_another_kind_is_refused() -> None:
    """Its arrays have the same names and shapes."""
    ring, reservoir = (remembering(memory={"kind": kind, "size": 20}) for kind in ("ring", "reservoir"))
    feed(ring, 40)
    before = bits(reservoir)
    with pytest.raises(StateMismatchError, match=r"train\.memory\.kind: ring in the checkpoint, reservoir in the sett"):
        reservoir.restore(ring.state())
    assert bits(reservoir) == before
    balanced, same = (remembering(NUMBER, {"kind": kind, "size": 20}) for kind in ("balanced", "reservoir"))
    same.restore(balanced.state())  # of numbers, they are the same


def _growing(spec: SampleSpec) -> Any:
    layer = keras.layers.Dense(1, activation="exponential", kernel_initializer="zeros", use_bias=False)
    return keras.Sequential([keras.Input((spec.width,)), layer])


def test_a_sample_on_which_the_model_fails_costs_only_the_updates_that_draw_it() -> None:
    """Its prediction is finite while the labels are 1, and infinite once one of 60 has come."""
    x, y = np.tile(np.float32([1, 0, 0, 0]), (384, 1)), np.full((384, 1), 60, np.float32)
    y[:40], x[20] = 1, (400, 0, 0, 0)
    memory = {"kind": "ring", "size": len(x), "per_update": 2, "distill": None}
    one = learner_of(_growing, NUMBER, loss="poisson", memory=memory, optimizer={"sgd": {"learning_rate": 0.02}})
    start, ends = one.state(), []
    for length in (32, 6):
        one.restore(start)
        calls = [call(at, length, 1, 4, x=x, y=y) for at in range(0, 384, length)]
        skipped = np.concatenate([one.update(each).skipped for each in calls])
        assert not skipped[:41].any()
        assert 0 < np.count_nonzero(skipped) < 20  # of 300, each of which draws 2 of 41 to 384
        one.undo()
        one.update(calls[-1])
        ends.append(bits(one))
    assert ends[0] == ends[1], "skipped updates are counted wherever calls are cut, and what is taken back is not"


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_statistics_are_of_new_samples_alone(task: str) -> None:
    """And so they are those of a model without a memory."""
    spec = SampleSpec.of_columns(MIXED.columns, Task(task, 1, 1))
    found = []
    for memory in (None, {"size": 20}):
        one = learner(spec, {"task": task, "hidden": [4]}, memory=memory)
        one.update(call(0, 32, 1))
        arrays = one.state().arrays
        of_stream = [name for name in arrays if name.endswith(("/mean", "/variance", "/count"))]
        found.append([arrays[name] for name in of_stream])
    assert len(found[0]) >= 3
    for mine, other in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, other)


def _two(_: SampleSpec) -> Any:
    numbers, tokens = keras.Input((4,), name="numbers"), keras.Input((3,), dtype="int32", name="tokens")
    words = keras.layers.Flatten()(keras.layers.Embedding(20, 2)(tokens))
    hidden = keras.layers.Dense(6, activation="tanh")(keras.layers.Concatenate()([numbers, words]))
    outputs = {"clicked": keras.layers.Dense(1, activation="sigmoid")(hidden), "price": keras.layers.Dense(2)(hidden)}
    return keras.Model({"numbers": numbers, "tokens": tokens}, outputs)


def test_several_inputs_and_outputs_are_kept() -> None:
    spec = SampleSpec(
        inputs=(InputSpec("numbers", (4,)), InputSpec("tokens", (3,), "int32")),
        targets=(TargetSpec("clicked", BINARY), TargetSpec("price", Task("regression", 2, 2), 0.25)),
    )
    rng = np.random.default_rng(2)
    inputs = {"numbers": X[:30, :4], "tokens": rng.integers(0, 20, (30, 3)).astype(np.int32)}
    samples = Samples(inputs, {"clicked": Y[:30], "price": X[:30, 1:3]}, np.ones(30, np.float32))
    one = learner_of(_two, spec, memory={"size": 12})
    given = Call((), samples.in_batches(30, 1), samples[:0], partial=False, records=30)
    assert not one.update(given).skipped.any()
    assert sum(one.memory()["held"].values()) == 12
    assert {tuple(row) for row in held(one, "input_tokens")} <= {tuple(row) for row in inputs["tokens"]}


class Own(keras.Model):  # type: ignore[misc]  # keras is untyped
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def _own(spec: SampleSpec) -> Any:
    inputs = keras.Input((spec.width,))
    return Own(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))


def test_a_step_of_the_models_own_is_refused_with_the_way_out() -> None:
    builder: Callable[[SampleSpec], Any] = _own
    with pytest.raises(ModelError, match=r"train\.memory: the model's own train_step .*leave it out"):
        learner_of(builder, NUMBERS, memory={})


def test_an_old_class_is_not_forgotten() -> None:
    """Class 0, then class 1, each of its own place: without a memory, all is of class 1 in the end."""
    rng = np.random.default_rng(1)
    y = (np.arange(800) >= 400).astype(np.float32)[:, None]
    x = (rng.normal(size=(800, 4)) * 0.3 + np.where(y > 0, 1, -1) * [1, 0, 0, 0]).astype(np.float32)
    right = []
    for memory in (None, {}):
        one = learner(NUMBERS, {"hidden": [8]}, memory=memory)
        for start in range(0, 800, 32):
            one.update(call(start, 32, 1, 4, x=x, y=y))
        old = one.predict({FEATURES: x[:200]})[LABEL] < 0.5
        right.append(float(old.mean()))
    assert right[1] > 0.95
