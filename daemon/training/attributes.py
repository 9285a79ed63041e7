"""Attributes of objects as facts that JSON can hold, and arrays: what a checkpoint can keep of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from learnd.daemon.values import Arrays

_FUNCTIONS = (FunctionType, BuiltinFunctionType, np.ufunc, type(np.mean), type)
_DTYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)


class NotHoldableError(Exception):
    """Raised for a value that would not come back as it is; the message says what it is."""


class Holding:
    """What is held of the attributes of some objects: exactly what comes back, of the same types and in the same order.

    A list, dictionary or array that is met twice is refused: it would come back as two.
    """

    def __init__(self) -> None:
        self.arrays: Arrays = {}
        self._met: set[int] = set()
        self._memory: list[tuple[int, int]] = []  # where the arrays begin and end in it

    def fact(self, value: Any) -> Any:
        """Return a value as a fact, and put its arrays to the others. Raises NotHoldableError.

        What JSON has not is `{kind: content}`.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, _FUNCTIONS):
            return {"function": _named(value)}
        if type(value) is tuple:
            return {"tuple": [self.fact(item) for item in value]}
        if isinstance(value, np.generic):
            return {"scalar": self._keep(np.asarray(value))}
        return self._changeable(value)

    def _changeable(self, value: Any) -> Any:
        if type(value) not in (list, dict, np.ndarray):
            raise NotHoldableError(f"an object of the type {type(value).__name__}")
        if id(value) in self._met:
            raise NotHoldableError(f"a {type(value).__name__} that it or another one of them holds elsewhere, too")
        self._met.add(id(value))
        if type(value) is list:
            return [self.fact(item) for item in value]
        if type(value) is dict:
            return {"dict": [[self.fact(key), self.fact(item)] for key, item in value.items()]}
        return {"array": self._alone(value)}

    def _alone(self, array: Any) -> str:
        """Keep an array that has its memory for itself, in the order in which it comes back: sums depend on that."""
        if not array.flags.c_contiguous:
            raise NotHoldableError("an array that is not in C order (np.ascontiguousarray makes one that is)")
        begin = array.__array_interface__["data"][0]
        end = begin + array.nbytes
        if any(begin < other_end and other_begin < end for other_begin, other_end in self._memory):
            raise NotHoldableError("an array that shares its memory with another one (keep a copy of it)")
        self._memory.append((begin, end))
        return self._keep(array)

    def _keep(self, array: Any) -> str:
        if array.dtype.name not in _DTYPES or not array.dtype.isnative:
            raise NotHoldableError(f"an array of the type {array.dtype}")
        name = str(len(self.arrays))
        self.arrays[name] = array.copy()
        return name


def is_code(value: Any) -> bool:
    """Whether a value is code alone, which the next process has, too: a function or a class, and no other object."""
    if isinstance(value, MethodType | BuiltinFunctionType):
        return value.__self__ is None or isinstance(value.__self__, ModuleType | type)
    return isinstance(value, _FUNCTIONS)


def given_back(fact: Any, arrays: Arrays) -> Any:
    """Return the value of a fact of `Holding`. Raises NotHoldableError for a function that is no longer there."""
    if isinstance(fact, list):
        return [given_back(item, arrays) for item in fact]
    if not isinstance(fact, dict):
        return fact
    ((kind, content),) = fact.items()
    return _OF_KIND[kind](content, arrays)


def _named(function: Any) -> str:
    """Return the name by which a function can be found again. Raises NotHoldableError if there is none."""
    name = f"{getattr(function, '__module__', None)}:{getattr(function, '__qualname__', None)}"
    if _at(name) is not function:
        raise NotHoldableError("a function that no module has under its name")
    return name


def _found(name: str) -> Any:
    found = _at(name)
    if found is None:
        raise NotHoldableError(f"the function {name}, which is no longer there")
    return found


def _at(name: str) -> Any:
    """Return what has a name in a module that is imported anyway: a checkpoint says nothing of what is to run."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


_OF_KIND: dict[str, Callable[[Any, Arrays], Any]] = {
    "float": lambda text, _: float(text),
    "tuple": lambda items, arrays: tuple(given_back(item, arrays) for item in items),
    "dict": lambda pairs, arrays: {given_back(key, arrays): given_back(item, arrays) for key, item in pairs},
    "function": lambda name, _: _found(name),
    "array": lambda name, arrays: arrays[name].copy(),
    "scalar": lambda name, arrays: arrays[name][()],
}
