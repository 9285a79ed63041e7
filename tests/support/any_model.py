"""A build function for whatever model a test gives, and what Keras makes of the same model by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
from learners import call, learner

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.values import Call, SampleSpec

_builders: list[Callable[[SampleSpec], Any]] = []


def build(spec: SampleSpec) -> Any:
    """Build the model of the latest learner."""
    return _builders[-1](spec)


def learner_of(builder: Callable[[SampleSpec], Any], spec: SampleSpec, **train: Any) -> KerasLearner:
    """Return a learner of the model that `builder` builds, without a guard."""
    _builders.append(builder)
    return learner(spec, {"build": "any_model:build"}, {"sigma": None}, **train)


def assert_as_keras(
    builder: Callable[[SampleSpec], Any],
    spec: SampleSpec,
    x: Any,
    y: Any,
    *,
    given: Any = None,
    rows: int = 4,
    updates: int = 12,
    weight: Any = None,
    rtol: float = 1e-4,
    atol: float = 1e-6,
    **train: Any,
) -> tuple[KerasLearner, Any]:
    """Train a compiled model with learnd and with Keras' `train_on_batch`, and compare losses and weights.

    Keras gets the labels `given`, if they are not `y`.
    """
    one = learner_of(builder, spec, batch_size=rows, **train)
    model = builder(spec)
    model.set_weights(one.model.get_weights())
    some: Call = call(0, updates, rows, x.shape[1], x=x, y=y.astype(np.float32))
    if weight is not None:
        some.batches.weight[:] = weight[: updates * rows].reshape(updates, rows)
    report = one.update(some)
    theirs = y if given is None else given
    weight = None if weight is None else weight.reshape(-1, *[1] * len(spec.task.shape))  # as Keras wants it
    losses = []
    for start in range(0, updates * rows, rows):
        part = slice(start, start + rows)
        some_weight = None if weight is None else weight[part]
        losses.append(float(np.ravel(model.train_on_batch(x[part], theirs[part], some_weight))[0]))
    np.testing.assert_allclose(report.loss, losses, rtol=rtol, atol=atol)
    for mine, other in zip(one.model.weights, model.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=rtol, atol=atol, err_msg=mine.path)
    return one, model
