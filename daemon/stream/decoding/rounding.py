"""Inputs are 32-bit floats, which hold about seven digits: large numbers that differ little lose what differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from learnd.daemon.stream.decoding.columns import LARGEST_FLOAT32
from learnd.daemon.values import Column, Float64

_ENOUGH = 200  # rows
_MOST_LOST = 0.01  # of the spread of a column


def lossy_step(values: Float64) -> float | None:
    """Return the step in which 32-bit floats hold these values (n,), if rounding loses much of what tells them apart.

    That is so if the root mean square of what is lost is over 1 % of their standard deviation. Else return None.
    """
    if np.abs(values).max() > LARGEST_FLOAT32 or np.ptp(values) == 0:
        return None  # it is rejected, or there is nothing to tell apart
    lost = values - values.astype(np.float32)
    if np.sqrt(np.mean(lost**2)) <= _MOST_LOST * np.std(values):
        return None
    return float(np.spacing(np.abs(values).max().astype(np.float32)))


class RoundingCheck:
    """Looks at the first rows of a stream, and tells once of each column that loses much. It changes nothing.

    Columns that tell the time hardly change within a few rows, and that says nothing.
    """

    def __init__(self, columns: Sequence[Column], tell: Callable[[str], None]) -> None:
        self._columns = {index: column.name for index, column in enumerate(columns) if not column.clock}
        self._tell = tell
        self._seen: list[Float64] = []

    def add(self, rows: Float64) -> bool:
        """Take in rows (m, at least the columns) of finite numbers; return whether more of them are wanted."""
        self._seen.append(rows[:, list(self._columns)])
        if sum(map(len, self._seen)) < _ENOUGH:
            return True
        for name, values in zip(self._columns.values(), np.concatenate(self._seen).T, strict=True):
            if (step := lossy_step(values)) is not None:
                self._tell(
                    f"{name}: its values, such as {values[0]:.15g}, differ by {np.std(values):.3g} only, and come to "
                    f"the model in steps of {step:g}, since inputs are 32-bit floats: {WAY_OUT}"
                )
        return False


WAY_OUT = "give it as a time (`timestamp`) if it is one, or as the difference from a value that is near"
