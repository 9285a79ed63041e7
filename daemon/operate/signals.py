"""SIGINT and SIGTERM: the first one stops cleanly, the second one at once. Neither loses anything."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Self

_SHOW_CURSOR = b"\x1b[?25h"  # the progress display hides it


def stop_at_once() -> None:
    """Let a signal end the process with exit code 0, as long as there is nothing to finish: before a `StopSignal`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


class StopSignal:
    """A context manager that turns signals into a flag. Calling it returns the flag."""

    def __init__(self, timeout_s: float) -> None:
        """`timeout_s` is how long a clean stop may take before the process ends without it."""
        self._timeout_s = timeout_s
        self._stopped = False
        self._before: dict[int, object] = {}
        self._timer = threading.Timer(timeout_s, self._give_up)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned

    def __call__(self) -> bool:
        return self._stopped

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopped:
            _say("stopped at once; nothing is lost: the next start repeats what the journal has after the checkpoint")
            os._exit(0)
        _say("stopping cleanly; a second signal stops at once")
        self._stopped = True
        self._timer.start()

    def _give_up(self) -> None:
        _say(
            f"a clean stop took longer than shutdown_timeout_s ({self._timeout_s:g} s), so it ends without a last "
            "checkpoint. Nothing is lost: the next start repeats what the journal has. If this happens again, find out "
            "whether the disk of the state directory hangs, or raise shutdown_timeout_s."
        )
        os._exit(70)


def _say(text: str) -> None:
    """Write to standard error from a signal handler, or right before the process ends."""
    os.write(2, b"%slearnd: %s\n" % (_SHOW_CURSOR if os.isatty(2) else b"", text.encode()))
