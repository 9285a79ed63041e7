"""Where the time of a thread goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Self


class Shares:
    """Adds up the seconds that a thread spends on each of its activities.

    Only that thread calls `begin`, where one activity follows another, which costs as much as reading the clock. Any
    thread may read `seconds`, which never fall: what is under way counts once it has ended.
    """

    def __init__(self, *activities: str) -> None:
        """The thread begins with the first of them."""
        self._seconds = dict.fromkeys(activities, 0.0)
        self._current = activities[0]
        self._since_s = time.perf_counter()

    @classmethod
    def of_loop(cls) -> Self:
        """Return the shares of the loop's thread. `repeating` runs updates once more, up to where a rule acts."""
        return cls("waiting", "writing", "updating", "repeating", "watching", "scoring", "saving")

    @classmethod
    def of_reader(cls) -> Self:
        """Return the shares of the reader's thread. `waiting` is for room: the loop has enough for now."""
        return cls("reading", "decoding", "waiting")

    @property
    def seconds(self) -> Mapping[str, float]:
        return self._seconds

    def begin(self, activity: str) -> None:
        """From now on the thread does this, which is one of those given."""
        now_s = time.perf_counter()
        self._seconds[self._current] += now_s - self._since_s
        self._current, self._since_s = activity, now_s
