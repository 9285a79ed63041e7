"""SIGINT and SIGTERM: the first stops cleanly, the second at once; neither loses anything."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Self


class StopSignal:
    """A context manager that turns signals into a flag; calling it returns the flag."""

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
            os.write(2, b"learnd: stopped at once; the next start repeats what the journal has after the checkpoint\n")
            os._exit(0)
        self._stopped = True
        self._timer.start()

    def _give_up(self) -> None:
        os.write(
            2,
            f"learnd: a clean stop took longer than shutdown_timeout_s ({self._timeout_s:g} s), so it ends without a "
            "last checkpoint. Nothing is lost: the next start repeats what the journal has.\n".encode(),
        )
        os._exit(70)
