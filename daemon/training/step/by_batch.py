"""One update per Python call, by the model's own `train_step`: for models that override it.

It runs a few hundred updates per second. The prediction is a separate pass. The verdict looks at the loss and at every
variable after the update. An update that is not finite is undone from a copy made before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from learnd.daemon.errors import ModelError
from learnd.daemon.training.step.fused import Results
from learnd.daemon.training.step.parts import Parts, as_keras
from learnd.daemon.values import Float32, Samples, SampleSpec


class TrainOnBatch:
    """Gives the same results as `fused.Updates`, but a gradient norm of NaN: `train_step` does not return it."""

    def __init__(self, parts: Parts, times: Mapping[int, float]) -> None:
        """`times` are the factors for the steps of variables, by their ids.

        Raises ModelError if the model overrides `compile` with other arguments.
        """
        parts.optimizer.global_clipnorm = parts.clip_norm  # Keras' own step clips by it
        try:
            parts.model.compile(
                optimizer=parts.optimizer,
                loss=as_keras(parts.losses),
                jit_compile=False,
                **_loss_weights(parts.spec),
            )
        except TypeError as error:
            raise ModelError(
                f"step: train_on_batch: the model's compile() does not take optimizer, loss and jit_compile, as "
                f"keras.Model's does: {error}. Nothing was trained. Let it take them and pass them on."
            ) from error
        self._model, self._optimizer = parts.model, parts.optimizer
        self._metrics, self._guard = parts.metrics, parts.guard
        self._infer = parts.infer
        self._measured = parts.spec.targets[0].name
        self._times = times

    def __call__(self, batches: Samples, rates: Float32, updates: int) -> Results:
        outputs: list[dict[str, Any]] = []
        figures = []
        before = [(variable, np.array(variable.value.numpy())) for variable in self._written()]
        for k in range(updates):
            batch = batches[k]
            self._optimizer.learning_rate.assign(rates[k])
            outputs.append({name: output.numpy() for name, output in self._infer(batch.inputs).items()})
            figures.append(self._update(batch))
            if figures[-1][-1] == 0:
                for metric in self._metrics:
                    metric.update_state(batch.targets[self._measured], outputs[-1][self._measured], batch.weight)
        self._optimizer.learning_rate.assign(rates[updates])
        found = {name: np.array([output[name] for output in outputs], np.float32) for name in outputs[0]}
        return Results(found, np.array(figures, np.float32), before)

    @property
    def traces(self) -> int:
        return 0  # Keras compiles `train_step` itself

    def _written(self) -> list[Any]:
        metrics = [variable for metric in self._metrics for variable in metric.variables]
        guard = [] if self._guard is None else self._guard.variables
        return [*self._model.variables, *self._optimizer.variables, *metrics, *guard]

    def _update(self, batch: Samples) -> tuple[float, float, float]:
        variables = [*self._model.variables, *self._optimizer.variables]
        before = [np.array(variable.value.numpy()) for variable in variables]
        x, y = as_keras(batch.inputs), as_keras(batch.targets)
        loss = self._loss(self._model.train_on_batch(x, y, sample_weight=batch.weight, return_dict=True))
        verdict = self._verdict(loss, all(_finite(variable) for variable in variables))
        if verdict != 0:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        elif self._times:
            for variable, value in zip(variables, before, strict=True):
                if (times := self._times.get(id(variable))) is not None:
                    variable.assign(value + np.float32(times) * (variable.value - value))
        return loss, float("nan"), verdict

    def _loss(self, results: Mapping[str, Any]) -> float:
        if "loss" not in results:
            raise ModelError(
                f"step: train_on_batch: the model's train_step() returns {', '.join(results) or 'nothing'}, but no "
                "loss, which the guard and the metrics need. This call is in the journal and trains at the next start. "
                "Let it return {'loss': ...}."
            )
        return float(results["loss"])

    def _verdict(self, loss: float, finite: bool) -> float:
        """Return 0 for a good update, as the compiled step does. The guard gets a norm of 0, which it ignores."""
        if not (finite and np.isfinite(loss)):
            return float("nan")
        if self._guard is None:
            return 0.0
        verdict = float(sum(self._guard.flags(loss, 0.0)))
        self._guard.learn(loss, 0.0, finite=True)
        return verdict


def _loss_weights(spec: SampleSpec) -> dict[str, Any]:
    """Return the argument of `compile` that weighs the losses; none if each weighs 1: a user's may not take it."""
    weights = {target.name: target.loss_weight for target in spec.targets}
    return {"loss_weights": as_keras(weights)} if set(weights.values()) != {1} else {}


def _finite(variable: Any) -> bool:
    value = variable.value.numpy()
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())
