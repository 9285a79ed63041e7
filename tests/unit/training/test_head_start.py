"""What a mixture trains on beside the first samples of a stream."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from learners import BINARY, NUMBERS, X, Y, bits, call, learner

from learnd.daemon.training.runtime import tf
from learnd.daemon.training.step import head_start
from learnd.daemon.values import FEATURES, LABEL, SampleSpec, Task

RATE = 0.01
SPEC = SampleSpec.of_columns(NUMBERS.columns, BINARY)


def mixed(task: Task = BINARY, **train: Any) -> Any:
    return learner(SampleSpec.of_columns(NUMBERS.columns, task), {"preset": "auto", "task": task.kind}, **train)


def weights(one: Any, network: str) -> list[Any]:
    return [np.array(variable.numpy()) for variable in one.model.get_layer(network).trainable_variables]


def memory(one: Any) -> list[str]:
    return [name for name in one.state().arrays if name.startswith("memory/")]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_drawn_sample_counts_as_much_as_a_new_one(rows: int) -> None:
    """After one update on a single sample, each of the seven that are drawn is that sample."""
    one = mixed(optimizer={"sgd": {"learning_rate": RATE}}, batch_size=1)
    one.update(call(0, 1, 1, SPEC.width))
    before = {network: weights(one, network) for network in ("columns", "lags")}
    twin = mixed(optimizer={"sgd": {"learning_rate": RATE}}, batch_size=1)
    twin.restore(one.state())
    given = call(1, 1, rows, SPEC.width, partial=rows > 1)
    one.update(given)
    expected = _descended(twin, given.batches[0])
    for network in ("columns", "lags"):
        for old, new, step in zip(before[network], weights(one, network), expected[network], strict=True):
            np.testing.assert_allclose(new - old, -RATE * step, rtol=1e-3, atol=1e-7)


def _descended(twin: Any, batch: Any) -> dict[str, list[Any]]:
    """Return the gradients that an update on a batch takes, the first sample of the stream drawn seven times."""
    ensemble, layers = twin._network.parts.ensemble, {name: twin.model.get_layer(name) for name in ("columns", "lags")}
    with tf.GradientTape(persistent=True) as tape:
        _, said = ensemble.outputs({FEATURES: tf.constant(batch.inputs[FEATURES])})
        loss, _ = ensemble.lesson(said, {LABEL: tf.constant(batch.targets[LABEL])}, tf.constant(batch.weight))
        old = ensemble.losses_alone({FEATURES: tf.constant(X[:1, : SPEC.width])}, {LABEL: tf.constant(Y[:1])})
        with_old = loss + head_start.LATEST.per_update * tf.reduce_sum(old) / len(batch)
    found = {}
    for name, trained in (("columns", with_old), ("lags", loss)):
        values = [variable.value for variable in layers[name].trainable_variables]
        found[name] = [gradient.numpy() for gradient in tape.gradient(trained, values)]
    return found


def test_it_ends_where_there_are_enough_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for lasts in (1, 20):
        monkeypatch.setattr(head_start, "SAMPLES", lasts)
        one = mixed()
        one.update(call(0, 20, 1, SPEC.width))
        later = mixed()
        later.restore(one.state())
        monkeypatch.setattr(head_start, "SAMPLES", 0)
        never = mixed()
        never.restore(one.state())
        for each in (later, never):
            each.update(call(20, 10, 1, SPEC.width))
        assert bits(later) == bits(never)
        ends.append(bits(one))
    assert ends[0] != ends[1]


@pytest.mark.parametrize("task", [Task("regression", 1, 1), Task("multi_label", 2, 2, ("a", "b"))])
def test_other_tasks_have_none(task: Task) -> None:
    assert memory(mixed()) != []
    assert memory(mixed(task)) == []


@pytest.mark.parametrize("rows", [1, 4])
def test_how_updates_are_grouped_does_not_show(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_start, "SAMPLES", 30 * rows)
    ends = []
    for cuts in ([0, 60], [0, 1, 29, 30, 60]):
        one = mixed(batch_size=rows)
        for start, end in pairwise(cuts):
            one.update(call(start * rows, end - start, rows, SPEC.width))
        ends.append(bits(one))
    assert ends[0] == ends[1]


def test_it_is_undone_with_the_update() -> None:
    one = mixed()
    one.update(call(0, 20, 1, SPEC.width))
    before = bits(one)
    one.update(call(20, 20, 1, SPEC.width))
    one.undo()
    assert bits(one) == before
