"""What a compiled model brings along: an optimizer, which goes on where the model's training ended, and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import structlog

from learnd.daemon.training.runtime import keras, tf

log = structlog.get_logger()


def optimizer_of(model: Any) -> Any:
    """Return the optimizer of a compiled model; None of any other."""
    return getattr(model, "optimizer", None)


def updates_of(optimizer: Any) -> int:
    """Return how many updates an optimizer has made."""
    return int(optimizer._iterations)  # noqa: SLF001  (the public count is of accumulated gradients)


def go_on(optimizer: Any, earlier: Any) -> None:
    """Give a built optimizer the count of iterations and the moments of the earlier one.

    Variables are matched by path and shape: this one may be built for other layers. Those that stay fresh are logged.
    """
    theirs = _by_path(earlier.variables)
    fresh = []
    for path, variable in _by_path(optimizer.variables).items():
        given = theirs.get(path)
        if variable is optimizer.learning_rate:  # each update sets it
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
        learning_rate=float(earlier.learning_rate),
        updates=updates_of(earlier),
        reason="train.optimizer names one, and the model was compiled with another",
        consequence="its moments, its count of updates and its learning rate are not used",
        to_keep_them="leave train.optimizer out",
    )


def metrics_of(model: Any, target: str, targets: int) -> dict[str, Any]:
    """Return the metrics that a model was compiled with for a target, by the names that Keras shows: each a name that
    Keras knows, a fresh metric, or a function. Those that are not clearly of this target are logged.
    """
    compiled = getattr(model, "_compile_metrics", None)
    found: dict[str, Any] = {}
    for given in () if compiled is None else (compiled._user_metrics, compiled._user_weighted_metrics):  # noqa: SLF001
        of_target = given if targets == 1 else given.get(target) if isinstance(given, dict) else None
        for metric in tf.nest.flatten(of_target if of_target is not None else []):
            name = metric if isinstance(metric, str) else getattr(metric, "name", None) or metric.__name__
            is_metric = isinstance(metric, keras.metrics.Metric)
            found[name] = type(metric).from_config(metric.get_config()) if is_metric else metric
        if given and (of_target is None or (isinstance(given, dict) and len(given) > 1)):
            tell_left_out(str(given), f"learnd measures the first target, {target}")
    return found


def tell_left_out(metric: str, reason: str) -> None:
    """Log that a metric of a compiled model is not kept."""
    log.warning("metric_left_out", metric=metric, reason=reason, consequence="it is not among the scores")


def _by_path(variables: Sequence[Any]) -> dict[str, Any]:
    """Return the variables by their paths, without those that share one."""
    times = Counter(variable.path for variable in variables)
    return {variable.path: variable for variable in variables if times[variable.path] == 1}
