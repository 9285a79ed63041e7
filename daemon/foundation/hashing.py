"""A hash of numbers that is the same for ever."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def split_mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one step of SplitMix64, which gives neighbouring numbers unrelated hashes.

    Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
