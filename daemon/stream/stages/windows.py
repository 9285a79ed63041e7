"""Windows: the latest records of a key as one sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.recent import RecentRows
from learnd.daemon.values import Float32, Int64, KeyedRows, State, Window

_WHOLE = b""  # the key of records without one: all of them are one sequence


@dataclass(frozen=True, slots=True)
class Windowed:
    """The windows of some records, and what later windows need of these."""

    windows: Float32  # (n, length, columns)
    known: NDArray[np.bool_]  # (n,) whether there is a record in the window
    keyed: KeyedRows


class Windows:
    """Makes windows of records, in the order in which they are consumed."""

    def __init__(self, window: Window, recent: RecentRows) -> None:
        self._window, self._recent = window, recent

    def begin(self, recent: State | None) -> None:
        """Go on behind these records, whatever came before; anew if there are none."""
        self._recent.restore(recent or State())

    def add(self, keys: Sequence[str | bytes | None] | None, rows: Float32, records: Int64, *, anew: bool) -> Windowed:
        """Return the windows of records with these keys and rows (n, columns); `records` are their numbers.

        `anew`: whether all records come once more from here on.
        """
        own = [_WHOLE] * len(rows) if keys is None else [_as_bytes(key) for key in keys]
        placed = self._recent.add(own, rows, anew=anew)
        windows = placed.windows(self._window.length, self._window.ahead)
        return Windowed(windows, placed.earlier >= self._window.ahead, KeyedRows(own, rows, records, anew))


def _as_bytes(key: str | bytes | None) -> bytes:
    if key is None:
        return _WHOLE
    return key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
