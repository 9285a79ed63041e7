"""Counts and sums in named arrays, saved and restored as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Float64, State


class Counters:
    """A base class for parts whose whole state is a few named arrays."""

    def __init__(self, **arrays: NDArray[Any]) -> None:
        self.arrays: Arrays = arrays

    def state(self) -> State:
        return State(self.arrays).clone()

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if an array is missing or of another
        shape or dtype.
        """
        for name, mine in self.arrays.items():
            theirs = state.arrays.get(name)
            if theirs is None or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
                raise mismatch(name, f"{mine.dtype} {mine.shape}", theirs)
        self.arrays = {name: np.array(state.arrays[name]) for name in self.arrays}


class FiniteMean(Counters):
    """The mean of values that are finite, since it was last taken."""

    def __init__(self) -> None:
        super().__init__(sum_count=np.zeros(2))

    def add(self, values: NDArray[Any], times: int = 1) -> None:
        """Take in values, each of which counts so many times."""
        finite = values[np.isfinite(values)].astype(np.float64)
        total, count = self.arrays["sum_count"]
        self.arrays["sum_count"] = np.array([running_sum(total, times * finite)[-1], count + times * len(finite)])

    def take(self) -> float | None:
        """Return the mean, and begin anew; None if there is none."""
        total, count = self.arrays["sum_count"]
        self.arrays["sum_count"] = np.zeros(2)
        return float(total / count) if count else None


def mismatch(name: str, expected: str, found: NDArray[Any] | None) -> StateMismatchError:
    held = "nothing" if found is None else f"{found.dtype} {found.shape}"
    return StateMismatchError(
        f"evaluation state, array {name!r}: the settings need {expected}, but the checkpoint holds {held}, so "
        "scores cannot continue from it; use the settings that it was made with, or another state directory"
    )


def running_sum(carry: Float64, values: NDArray[Any]) -> Float64:
    """Return the sum before the first of `values` and after each of them: (m, ...) gives (m + 1, ...) in float64.

    The values are added strictly one after the other, so that the sums do not depend on how a sequence was cut.
    NumPy's `sum` adds in pairs; `cumsum` cannot.
    """
    return np.cumsum(np.concatenate((carry[None], values), dtype=np.float64), axis=0)


def up_to_multiples(before: int, length: int, every: int) -> Iterator[slice]:
    """Yield the pieces of `length` items that come behind `before` others: each ends at a multiple of `every`, or where
    they all end.
    """
    start = 0
    while start < length:
        end = min(length, start + every - (before + start) % every)
        yield slice(start, end)
        start = end


def earlier_alike(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each of the labels (m,) how many equal ones come before it."""
    by_class = np.argsort(labels, kind="stable")
    first = np.searchsorted(labels[by_class], labels[by_class])
    earlier = np.empty(len(labels), np.int64)
    earlier[by_class] = np.arange(len(labels)) - first
    return earlier
