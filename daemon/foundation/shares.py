"""Where the time of a thread goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_OTHER = "other"
_followed = threading.local()


class Shares:
    """Adds up the seconds that a thread spends on each of its activities, which `spending` tells of.

    Any thread may read `seconds`, which never fall: what is under way counts once it has ended.
    """

    def __init__(self, *activities: str) -> None:
        """What is none of these is `other`."""
        self._seconds = dict.fromkeys((*activities, _OTHER), 0.0)
        self._current = _OTHER
        self._since_s = time.perf_counter()

    @property
    def seconds(self) -> Mapping[str, float]:
        return self._seconds

    def follow(self) -> None:
        """From now on, add up the time of the thread that calls this."""
        _followed.shares = self
        self._since_s = time.perf_counter()

    def begin(self, activity: str) -> str:
        """From now on the thread does this, which is one of those given. Return what it did before."""
        now_s, before = time.perf_counter(), self._current
        self._seconds[before] += now_s - self._since_s
        self._current, self._since_s = activity, now_s
        return before


@contextmanager
def spending(activity: str) -> Iterator[None]:
    """Count the time of a block, or of a decorated function, as that of an activity, less what is within it of others.

    It costs as much as to read the clock twice. In a thread that no `Shares` follow, it does nothing.
    """
    shares: Shares | None = getattr(_followed, "shares", None)
    if shares is None:
        yield
        return
    before = shares.begin(activity)
    try:
        yield
    finally:
        shares.begin(before)
