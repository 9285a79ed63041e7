"""Attributes of an object as facts that JSON can hold, and arrays: what a checkpoint can keep of it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from learnd.daemon.values import Arrays


class NotHoldableError(Exception):
    """Raised for a value that is neither a number, a text, an array, nor made of these; the message says what it is."""


def held(value: Any, arrays: Arrays) -> Any:
    """Return a value as a fact; its arrays are put into `arrays`. Raises NotHoldableError.

    What JSON has not is `{kind: content}`.
    """
    if isinstance(value, list):
        return [held(item, arrays) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [held(item, arrays) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: held(item, arrays) for key, item in value.items()}}
    return _single(value, arrays)


def _single(value: Any, arrays: Arrays) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if callable(value):
        return {"function": _named(value)}
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise NotHoldableError(f"an object of the type {type(value).__name__}")
    name = str(len(arrays))
    arrays[name] = array.copy()
    return {"array": name}


def given_back(fact: Any, arrays: Arrays) -> Any:
    """Return the value of a fact that `held` has made."""
    if isinstance(fact, list):
        return [given_back(item, arrays) for item in fact]
    if not isinstance(fact, dict):
        return fact
    ((kind, content),) = fact.items()
    return _OF_KIND[kind](content, arrays)


def _array(name: str, arrays: Arrays) -> Any:
    array = arrays[name]
    return array.copy() if array.ndim else array[()]


def _named(function: Any) -> str:
    """Return the name by which a function can be found again. Raises NotHoldableError if there is none."""
    name = f"{getattr(function, '__module__', None)}:{getattr(function, '__qualname__', None)}"
    try:
        same = _found(name) is function
    except (KeyError, AttributeError):
        same = False
    if not same:
        raise NotHoldableError("a function that no module has under its name")
    return name


def _found(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = sys.modules[module]  # one that is imported anyway: a checkpoint says nothing of what is to run
    for part in path.split("."):
        found = getattr(found, part)
    return found


_OF_KIND: dict[str, Callable[[Any, Arrays], Any]] = {
    "float": lambda text, _: float(text),
    "tuple": lambda items, arrays: tuple(given_back(item, arrays) for item in items),
    "dict": lambda items, arrays: {key: given_back(item, arrays) for key, item in items.items()},
    "function": lambda name, _: _found(name),
    "array": _array,
}
