"""Whether the daemon is alive and ready: what its loop reports, and what `/healthz` and `/readyz` answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

STATES = ("starting", "restoring", "consuming", "paused", "finishing", "stopped", "failed")
"""The states of a daemon, in order. `restoring` repeats the journal, `finishing` writes the last checkpoint."""


class Health:
    """The loop's thread reports to it; any thread may ask it.

    A loop that consumes calls `beat` at each turn, also when it is idle. If it has not for `stalled_after_s`, it counts
    as dead. The other states may take any time: for a large journal, or a slow compilation.
    """

    def __init__(self, stalled_after_s: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stalled_after_s = stalled_after_s
        self._clock = clock
        self._lock = threading.Lock()
        self._state = STATES[0]
        self._reason = ""
        self._beat_s = clock()
        self._reached = False  # until the loop says so
        self._not_saved: str | None = None
        self._blocked: str | None = None

    @property
    def state(self) -> str:
        """One of STATES."""
        return self._state

    def entered(self, state: str) -> None:
        """The daemon is now in this state. Raises ValueError if it is not one of STATES."""
        if state not in STATES:
            raise ValueError(f"{state!r} is not one of {', '.join(STATES)}")
        with self._lock:
            self._state = state
            self._beat_s = self._clock()

    def beat(self) -> None:
        """The loop made a turn. This costs as much as reading the clock."""
        self._beat_s = self._clock()

    def reached(self, reached: bool) -> None:
        """Whether the source can be reached now. While it cannot, the daemon waits: it is alive, but not ready."""
        self._reached = reached

    def saved(self, why_not: str | None) -> None:
        """A checkpoint was made (None), or why it could not be: what trains meanwhile is only in the journal."""
        self._not_saved = why_not

    def blocked(self, why: str | None) -> None:
        """Why training waits for room for the journal, or that it does not (None)."""
        self._blocked = why

    def failed(self, reason: str) -> None:
        """The loop ended with an error."""
        with self._lock:
            self._state, self._reason = "failed", reason

    def why_not_alive(self) -> str | None:
        """Return None if the daemon is alive, else what is wrong with it."""
        with self._lock:
            if self._state == "failed":
                return f"the loop has ended: {self._reason}"
            silent_s = self._clock() - self._beat_s
            if self._state == "consuming" and silent_s > self._stalled_after_s:
                return f"the loop has made no progress for {silent_s:.0f} s"
        return None

    def why_not_ready(self) -> str | None:
        """Return None if the daemon is restored and consumes, else what it does instead."""
        if (why := self.why_not_alive()) is not None:
            return why
        if self._state != "consuming":
            return f"the daemon is {self._state}"
        if not self._reached:
            return "the source cannot be reached"
        if self._blocked is not None:
            return f"training waits: {self._blocked}"
        return None if self._not_saved is None else f"no checkpoint can be made: {self._not_saved}"
