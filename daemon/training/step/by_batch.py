"""One update per Python call, by the model's `train_step`: for models that override it.

It runs a few hundred updates per second. The prediction is a separate pass. The verdict looks at the loss and at every
variable after the update. An update that is not finite is undone from a copy made before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.training.runtime import tf, value_of
from learnd.daemon.training.step.fused import Results
from learnd.daemon.training.step.own_step import of_last_batch, traced
from learnd.daemon.training.step.parts import Parts, as_input, as_keras
from learnd.daemon.training.step.tracing import check_kept
from learnd.daemon.values import Float32, Samples


class TrainOnBatch:
    """Gives the same results as `fused.Updates`, but a gradient norm of NaN: `train_step` does not return it."""

    def __init__(self, parts: Parts, times: Mapping[int, float], rows: int | None) -> None:
        """`times` are the factors for the steps of variables, by their ids. `rows` is B; None allows any.

        Raises ModelError if an update uses variables that no checkpoint would hold.
        """
        self._parts, self._model, self._rate = parts, parts.model, parts.optimizing.rate
        self._metrics, self._guard = parts.metrics, parts.guard
        self._kept = [*parts.kept().values()]
        apart = {id(variable) for variable in [*_of_learnd(parts), *parts.optimizing.kept_when_skipped]}
        self._changing = [variable for variable in self._kept if id(variable) not in apart]
        self._infer = tf.function(partial(parts.inference, served=False), autograph=False)
        self._averages = parts.averages
        self._measured = parts.spec.targets[0].name
        self._times = times
        self._step = traced(parts, rows)
        check_kept(self._step, [*self._kept, *of_last_batch(parts.model)])

    def __call__(self, batches: Samples, rates: Float32, updates: int, factors: Float32 | None = None) -> Results:
        outputs: list[dict[str, Any]] = []
        figures = []
        before = _copies(self._kept)
        for k in range(updates):
            batch = batches[k]
            self._rate.assign(rates[k])
            outputs.append({name: output.numpy() for name, output in self._infer(batch.inputs).items()})
            figures.append(self._update(batch, batch.weight if factors is None else batch.weight * factors[k]))
            if figures[-1][-1] == 0:
                for metric in self._metrics:
                    metric.add(batch.targets[self._measured], outputs[-1][self._measured], batch.weight)
        self._rate.assign(rates[updates])
        found = {name: np.array([output[name] for output in outputs], np.float32) for name in outputs[0]}
        return Results(found, np.array(figures, np.float32), before)

    @property
    def traces(self) -> int:
        return 0  # it is traced for any length of a call

    def _update(self, batch: Samples, weight: Float32) -> tuple[float, float, float]:
        before = _copies(self._changing)
        for metric in self._model.metrics:  # as Keras' own train_on_batch does
            metric.reset_state()
        data = (as_input(batch.inputs), as_keras(self._parts.labels(batch.targets)), self._parts.weights(weight))
        loss = float(self._step(tf.nest.map_structure(tf.constant, data))["loss"])
        verdict = self._verdict(loss, all(_finite(variable, value) for variable, value in before))
        if verdict != 0:
            for variable, value in before:
                variable.assign(value)
            return loss, float("nan"), verdict
        for variable, value in before if self._times else ():
            if (times := self._times.get(id(variable))) is not None:
                variable.assign(value + np.float32(times) * (variable.value - value))
        if self._averages is not None:
            self._averages.follow()
        return loss, float("nan"), verdict

    def _verdict(self, loss: float, finite: bool) -> float:
        """Return 0 for a good update, as the compiled step does. The guard gets a norm of 0, which it ignores."""
        if not (finite and np.isfinite(loss)):
            return float("nan")
        if self._guard is None:
            return 0.0
        verdict = float(sum(self._guard.flags(loss, 0.0)))
        self._guard.learn(loss, 0.0, finite=True)
        return verdict


def _of_learnd(parts: Parts) -> list[Any]:
    """Return the variables of the metrics and of the guard, which `train_step` does not change."""
    metrics = [variable for metric in parts.metrics for variable in metric.variables]
    return [*metrics, *([] if parts.guard is None else parts.guard.variables)]


def _copies(variables: list[Any]) -> list[tuple[Any, Any]]:
    return [(variable, value_of(variable)) for variable in variables]


def _finite(variable: Any, before: NDArray[Any]) -> bool:
    """Whether all that changed of a variable is finite: a constant mask is not."""
    value = value_of(variable)
    return not np.issubdtype(value.dtype, np.floating) or bool((np.isfinite(value) | (value == before)).all())
