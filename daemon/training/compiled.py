"""What a compiled model brings along: an optimizer, which goes on where the model's training ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import structlog

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


def _by_path(variables: Sequence[Any]) -> dict[str, Any]:
    """Return the variables by their paths, without those that share one."""
    times = Counter(variable.path for variable in variables)
    return {variable.path: variable for variable in variables if times[variable.path] == 1}
