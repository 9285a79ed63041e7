"""Tells files that are whole from those that may still be written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_SETTLED_S = 1.0


class Settling:
    """Files that are new: one is whole if two looks, a second or more apart, find the same size and time of change.

    That time itself says nothing: the clock of the machine that writes may be another one.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, tuple[int, int]]] = {}  # since when each has been as it is

    def whole(self, paths: Iterable[str], now: float) -> set[str]:
        """Return which of the files that a look found at `now`, on a clock that never jumps, are whole."""
        before, self._seen = self._seen, {}
        for path in paths:
            if (state := _state(path)) is not None:
                known = before.get(path)
                self._seen[path] = known if known is not None and known[1] == state else (now, state)
        return {path for path, (since, _) in self._seen.items() if now - since >= _SETTLED_S}


def _state(path: str) -> tuple[int, int] | None:
    """Return the size and the time of change of a file; None if it is gone."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
