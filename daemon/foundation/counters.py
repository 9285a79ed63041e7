"""What counts and sums are kept in: named arrays, copied out and in whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Float64


class Counters:
    """Named arrays that are the whole state of whatever derives from this."""

    def __init__(self, **arrays: NDArray[Any]) -> None:
        self.arrays: Arrays = arrays

    def copies(self, prefix: str) -> Arrays:
        """Return a copy of each array, under its name behind `prefix`."""
        return {prefix + name: array.copy() for name, array in self.arrays.items()}

    def take(self, arrays: Arrays, prefix: str) -> None:
        """Take over what `copies` returned. Raises StateMismatchError where an array is missing or of another shape."""
        for name, mine in self.arrays.items():
            theirs = arrays.get(prefix + name)
            if theirs is None or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
                raise mismatch(prefix + name, f"{mine.dtype} {mine.shape}", theirs)
            self.arrays[name] = np.array(theirs)


def mismatch(name: str, expected: str, found: NDArray[Any] | None) -> StateMismatchError:
    held = "nothing" if found is None else f"{found.dtype} {found.shape}"
    return StateMismatchError(
        f"evaluation state, array {name!r}: the settings call for {expected} and the checkpoint holds {held}, so "
        "scores cannot go on from it; use the settings that it was made with, or another state directory"
    )


def running_sum(carry: Float64, values: NDArray[Any]) -> Float64:
    """Return the sum before the first of `values` and after each: (m, ...) gives (m + 1, ...) in float64.

    Added strictly one after the other, so that the sums do not depend on how a sequence was cut: NumPy's
    `sum` adds in pairs, `cumsum` cannot.
    """
    return np.cumsum(np.concatenate((carry[None], values), dtype=np.float64), axis=0)
