"""What a compiled model brings along: an optimizer, which goes on where the model's training ended, and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import structlog

from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import SampleSpec

log = structlog.get_logger()


def optimizer_of(model: Any) -> Any:
    """Return the optimizer of a compiled model; None of any other."""
    return getattr(model, "optimizer", None)


def updates_of(optimizer: Any) -> int:
    """Return how many updates an optimizer has made."""
    counting = getattr(optimizer, "inner_optimizer", optimizer)  # a loss scale counts none itself
    return int(counting._iterations)  # noqa: SLF001  (the public count is of accumulated gradients)


def go_on(optimizer: Any, earlier: Any, rate: Any) -> None:
    """Give a built optimizer the count of iterations and the moments of the earlier one, but not its `rate`.

    Variables are matched by path and shape: this one may be built for other layers. Those that stay fresh are logged.
    """
    theirs = _by_path(earlier.variables)
    fresh = []
    for path, variable in _by_path(optimizer.variables).items():
        given = theirs.get(path)
        if variable is rate:  # each update sets it
            continue
        if given is not None and (given.shape, given.dtype) == (variable.shape, variable.dtype):
            variable.assign(given.value)
        else:
            fresh.append(path)
    if fresh and updates_of(earlier):
        log.warning(
            "moments_missing",
            optimizer=optimizer.name,
            updates=updates_of(earlier),
            variables=fresh,
            reason="the model's optimizer was built without the layers that they belong to",
            consequence="they start from 0",
        )


def tell_replaced(optimizer: Any, earlier: Any) -> None:
    """Log that the settings name another optimizer than the model was compiled with, and what is dropped with it."""
    log.warning(
        "optimizer_replaced",
        by=optimizer.name,
        dropped=earlier.name,
        learning_rate=_rate_of(earlier),
        updates=updates_of(earlier),
        reason="train.optimizer names one, and the model was compiled with another",
        consequence="its moments, its count of updates and its learning rate are not used",
        to_keep_them="leave train.optimizer out",
    )


def of_target(given: Any, model: Any, target: str, spec: SampleSpec) -> Any:
    """Return what of an argument of `compile` is for a target; None if there is nothing.

    It may be one for all targets, or a list in the order of the outputs, or a mapping by their names.
    """
    if isinstance(given, dict):
        alone = len(given) == len(spec.targets) == 1
        return next(iter(given.values())) if alone else given.get(target)
    if isinstance(given, list | tuple) and given:
        names = [one.name for one in spec.targets]
        order = getattr(model, "output_names", names) if len(names) > 1 else names
        return dict(zip(order, given, strict=False)).get(target)
    return given or None


def loss_weight_of(model: Any, target: str, spec: SampleSpec) -> float:
    """Return what `compile` weighs the loss of a target with."""
    compiled = getattr(model, "_compile_loss", None)
    weights = None if compiled is None else compiled._user_loss_weights  # noqa: SLF001  (Keras has no other way)
    weight = of_target(weights, model, target, spec)
    return 1.0 if weight is None else float(weight)


def metrics_of(model: Any, target: str, targets: int) -> dict[str, Any]:
    """Return the metrics that a model was compiled with for a target, by the names that Keras shows: each a name that
    Keras knows, a fresh metric, or a function. Those that are not clearly of this target are logged.
    """
    compiled = getattr(model, "_compile_metrics", None)
    found: dict[str, Any] = {}
    for given in () if compiled is None else (compiled._user_metrics, compiled._user_weighted_metrics):  # noqa: SLF001
        of_this = given if targets == 1 else given.get(target) if isinstance(given, dict) else None
        for metric in tf.nest.flatten(of_this if of_this is not None else []):
            name = metric if isinstance(metric, str) else getattr(metric, "name", None) or metric.__name__
            if (fresh := _fresh(metric)) is not None:
                found[name] = fresh
        if given and (of_this is None or (isinstance(given, dict) and len(given) > 1)):
            tell_left_out(str(given), f"learnd measures the first target, {target}")
    return found


def _fresh(metric: Any) -> Any:
    """Return a metric of the same settings; a name or a function is one. None, and a log line, if there is no way."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except Exception as error:  # noqa: BLE001  (code of the user's)
        tell_left_out(metric.name, f"it cannot be made anew from its configuration: {error}")
        return None


def tell_left_out(metric: str, reason: str) -> None:
    """Log that a metric of a compiled model is not kept."""
    log.warning("metric_left_out", metric=metric, reason=reason, consequence="it is not among the scores")


def _rate_of(optimizer: Any) -> float | None:
    """Return the learning rate; None of an optimizer that has several."""
    several = isinstance(optimizer, keras.optimizers.MultiOptimizer)
    return None if several else float(np.asarray(optimizer.learning_rate))


def _by_path(variables: Sequence[Any]) -> dict[str, Any]:
    """Return the variables by their paths, without those that share one."""
    times = Counter(variable.path for variable in variables)
    return {variable.path: variable for variable in variables if times[variable.path] == 1}
