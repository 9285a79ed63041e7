"""One update a Python call, by the model's own `train_step`: for models that override it.

Some hundred updates a second. The prediction is a pass of its own, the verdict looks at the loss and every
variable afterwards, and an update that is not finite is undone from a copy taken before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daemon.values import Float32


class TrainOnBatch:
    """Has the results of `step.Updates`, with a gradient norm of nan: `train_step` does not tell it."""

    def __init__(
        self, model: Any, optimizer: Any, loss: Any, metrics: Sequence[Any], infer: Callable[[Any], Any]
    ) -> None:
        model.compile(optimizer=optimizer, loss=loss, jit_compile=False)
        self.traces = 0
        self._model = model
        self._optimizer = optimizer
        self._metrics = metrics
        self._infer = infer

    def __call__(self, x: Any, y: Any, weight: Any, updates: int) -> tuple[Float32, Float32]:
        outputs, figures = [], []
        for k in range(updates):
            outputs.append(self._infer(x[k]).numpy())
            figures.append(self._update(x[k], y[k], weight[k]))
            if figures[-1][-1]:
                for metric in self._metrics:
                    metric.update_state(y[k], outputs[-1], weight[k])
        return np.array(outputs, np.float32), np.array(figures, np.float32)

    def _update(self, x: Any, y: Any, weight: Any) -> tuple[float, float, float]:
        variables = [*self._model.variables, *self._optimizer.variables]
        before = [np.array(variable.value.numpy()) for variable in variables]
        loss = float(self._model.train_on_batch(x, y, sample_weight=weight, return_dict=True)["loss"])
        good = np.isfinite(loss) and all(_finite(variable) for variable in variables)
        if not good:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
        return loss, float("nan"), float(good)


def _finite(variable: Any) -> bool:
    value = variable.value.numpy()
    return not np.issubdtype(value.dtype, np.floating) or bool(np.isfinite(value).all())
