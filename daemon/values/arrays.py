"""Type names for arrays and mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Positions: TypeAlias = dict[str, int]

Arrays: TypeAlias = dict[str, NDArray[Any]]

Facts: TypeAlias = dict[str, Any]  # whatever JSON can hold

Note: TypeAlias = Mapping[str, Any]

Float32: TypeAlias = NDArray[np.float32]

Float64: TypeAlias = NDArray[np.float64]

Int64: TypeAlias = NDArray[np.int64]


def finite(arrays: Arrays) -> bool:
    """Whether none of the arrays holds a NaN or an infinity."""
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")
