"""SIGINT, SIGTERM and a closed terminal: the first stops cleanly, the second at once. Neither loses anything.

A closed terminal sends SIGHUP. The same signal asks a daemon that has no terminal, or whose terminal is still there, to
read its settings again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType
from typing import Self

from learnd.daemon.foundation.descriptors import write_out

_SHOW_CURSOR = b"\x1b[?25h"  # the progress display hides it
_WRITTEN_WITHIN_S = 1.0


def stop_at_once() -> None:
    """Let a signal end the process with exit code 0, as long as there is nothing to finish: before a `StopSignal`.

    A SIGHUP that no terminal can have sent does nothing: the settings are about to be read.
    """
    has_terminal = _has_terminal()
    for number in _heeded():
        signal.signal(number, _end if number != signal.SIGHUP or has_terminal else _go_on)


def _end(*_: object) -> None:
    _write(2, b"learnd: stopped; there was nothing to finish\n")
    os._exit(0)


def _go_on(*_: object) -> None:
    pass


def _has_terminal() -> bool:
    """Whether the process has a terminal, whatever its outputs are: one that is closed is gone."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _heeded() -> Iterator[int]:
    """Yield the signals that are heeded. SIGHUP, which a closed terminal sends, stays ignored under `nohup`."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        yield signal.SIGHUP


class StopSignal:
    """A context manager that turns signals into a flag. Calling it returns the flag.

    A terminal that was closed meanwhile is replaced by /dev/null: what is still written there is no error then.
    """

    def __init__(self, timeout_s: float, *, reloads: bool = False) -> None:
        """`timeout_s` is how long a clean stop may take before the process ends without it; it may change until then.

        `reloads`: a SIGHUP that no closed terminal has sent asks for a reload, and does not stop.
        """
        self.timeout_s = timeout_s
        self._reloads = reloads
        self._reload_asked = False
        self._stopped = False
        self._before: dict[int, object] = {}
        self._timer: threading.Timer | None = None
        self._had_terminal = False
        self._terminals: list[int] = []
        self._errors = 2

    def __enter__(self) -> Self:
        self._had_terminal = _has_terminal()
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
        # What TensorFlow writes to 2 while it loads is hidden. It is never closed: an answer may wait for its
        # terminal, and the rest of it must not go into what is opened next.
        self._errors = os.dup(2)
        for number in _heeded():
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned
        self._leave_closed_terminal()

    def __call__(self) -> bool:
        return self._stopped

    @property
    def ignores_hangup(self) -> bool:
        """Whether SIGHUP does nothing, as under `nohup`."""
        return signal.SIGHUP not in self._before

    def reload_asked(self) -> bool:
        """Whether a reload was asked for since the last look. If the terminal is gone by now, it sent the signal while
        it closed, and that stops.
        """
        if not self._reload_asked:
            return False
        self._reload_asked = False  # one that comes now is of the same file
        if self._lost_terminal():
            self._handle(signal.SIGHUP, None)
            return False
        return True

    def _lost_terminal(self) -> bool:
        """Whether a terminal that was there is closed: the one that signals come from, or one that is written to."""
        return (self._had_terminal and not _has_terminal()) or not all(map(os.isatty, self._terminals))

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._leave_closed_terminal()
        if number == signal.SIGHUP and self._reloads and not self._lost_terminal():
            self._reload_asked = True
            return
        if self._stopped and number == signal.SIGHUP:
            return  # a shell passes it on, so that it comes twice
        if self._stopped:
            self._say(
                "stopped at once; nothing is lost: the next start repeats what the journal has after the checkpoint"
            )
            os._exit(0)
        self._stopped = True  # first: a terminal may take its time, and a second signal comes meanwhile
        self._timer = threading.Timer(self.timeout_s, self._give_up)
        self._timer.daemon = True
        self._timer.start()
        self._say("stopping cleanly, which waits for what is being loaded or saved; a second signal stops at once")

    def _give_up(self) -> None:
        self._say(
            f"a clean stop took longer than shutdown_timeout_s ({self.timeout_s:g} s), so it ends without a last "
            "checkpoint. Nothing is lost: the next start repeats what the journal has. If this happens again, find out "
            "whether the disk of the state directory hangs, or raise shutdown_timeout_s."
        )
        os._exit(70)

    def _leave_closed_terminal(self) -> None:
        for descriptor in self._terminals:
            if not os.isatty(descriptor):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)

    def _say(self, text: str) -> None:
        """Write to standard error from a signal handler, or right before the process ends."""
        show = _SHOW_CURSOR if os.isatty(self._errors) else b""
        _write(self._errors, b"%slearnd: %s\n" % (show, text.encode()))


def _write(descriptor: int, text: bytes) -> None:
    """Write, but wait for a moment alone: a terminal may take no output, and the process must end all the same."""
    writer = threading.Thread(target=write_out, args=(descriptor, text), daemon=True)
    with suppress(RuntimeError):  # the process may start no more threads
        writer.start()
        writer.join(_WRITTEN_WITHIN_S)
