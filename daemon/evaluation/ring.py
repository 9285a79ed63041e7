"""A ring buffer of rows."""

from __future__ import annotations

import numpy as np

from learnd.daemon.foundation.counters import mismatch
from learnd.daemon.values import Arrays, State


class Ring:
    """The latest `size` rows of named columns of equal length.

    Rows are read, and kept in a checkpoint, oldest first. So a ring of another size can take them over.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._columns: Arrays = {}
        self._next = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, rows: Arrays) -> None:
        """Append rows, dropping the oldest. Raises StateMismatchError if their shape differs from earlier rows."""
        count = len(next(iter(rows.values())))
        keep = min(count, self.size)
        if not keep:
            return
        if not self._columns:
            self._columns = {name: np.zeros((self.size, *rows[name].shape[1:]), rows[name].dtype) for name in rows}
        start = (self._next + count - keep) % self.size
        head = min(keep, self.size - start)
        for name, values in rows.items():
            column = self._columns[name]
            if column.shape[1:] != values.shape[1:]:
                raise mismatch(name, f"rows of {values.shape[1:]}", column)
            column[start : start + head] = values[count - keep : count - keep + head]
            if head < keep:
                column[: keep - head] = values[count - keep + head :]
        self._next = (self._next + count) % self.size
        self._length = min(self._length + count, self.size)

    def latest(self, count: int) -> Arrays:
        """Return copies of the latest `count` rows, or of all if there are fewer, oldest first."""
        count = min(count, self._length)
        start = (self._next - count) % self.size if count else 0
        head = min(count, self.size - start)
        columns = self._columns.items()
        return {name: np.concatenate((rows[start : start + head], rows[: count - head])) for name, rows in columns}

    def state(self) -> State:
        return State(self.latest(self._length))

    def restore(self, state: State) -> None:
        """Replace the rows by the latest rows of a state."""
        self._columns, self._next, self._length = {}, 0, 0
        if state.arrays:
            self.add(state.arrays)
