"""The whole state of a River detector as JSON values, exact to the last bit.

River's objects can be pickled, but learnd reads no pickles from a state directory. So it walks the attributes instead:
a number stays a number, an object implemented in Rust gives its state as bytes, and any other object becomes a mapping
of its attributes. Classes never come from the state: it is applied to a new detector of the same kind.
"""

from __future__ import annotations

import math
import random
from collections import deque
from typing import Any

from learnd.daemon.errors import StateMismatchError


def freeze(value: Any) -> Any:
    """Return the state of a detector. Raises TypeError for an attribute of a type that River does not use."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, random.Random):
        return freeze(value.getstate())
    if isinstance(value, list | tuple | deque):
        return [freeze(item) for item in value]
    if hasattr(value, "__dict__"):
        return {name: freeze(held) for name, held in vars(value).items() if not callable(held)}
    return {"bytes": _bytes(value).hex()}


def _bytes(value: Any) -> bytes:
    state = value.__getstate__()
    if not isinstance(state, bytes):
        raise TypeError(f"a {type(value).__name__} cannot be part of a checkpoint")
    return state


def thaw(target: Any, frozen: Any) -> Any:
    """Return `target` with a state that `freeze` returned for an object of the same kind. Plain values are replaced.

    Raises StateMismatchError if the state is of another detector, or another version of River.
    """
    try:
        return _thaw(target, frozen)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateMismatchError(
            f"drift state: the checkpoint's detector does not fit a {type(target).__name__} of this version of River: "
            f"{error}. Nothing was changed. Use the settings and the version that made it, or give a new --state."
        ) from error


def _thaw(target: Any, frozen: Any) -> Any:
    if isinstance(target, random.Random):
        version, numbers, gauss = frozen
        target.setstate((version, tuple(numbers), gauss))
        return target
    if isinstance(target, deque):
        return deque((_thaw(None, item) for item in frozen), target.maxlen)
    if not isinstance(frozen, dict):
        return frozen
    if "float" in frozen:
        return float(frozen["float"])
    if "bytes" in frozen:
        target.__setstate__(bytes.fromhex(frozen["bytes"]))
        return target
    for name, held in frozen.items():
        setattr(target, name, _thaw(getattr(target, name), held))
    return target
