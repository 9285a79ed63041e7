"""A server of Java that tests start, suspend, end and start again, in a directory of its own."""

from __future__ import annotations

import atexit
import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

JAVA = ("java", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_UP_WITHIN_S = 300.0
_PR_SET_PDEATHSIG = 1


class ServerProcess(ABC):
    """It ends with the tests, whatever becomes of them, and its directory goes as well."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"learnd-{name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return what starts it, in its directory."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it is ready."""

    def start(self) -> Self:
        """Start it, again after `kill`, and wait until it answers."""
        self.launch()
        self.await_answer()
        return self

    def launch(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  (one call of the system)
            )

    def await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _UP_WITHIN_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.2)

    @property
    def running(self) -> bool:
        return self._process is not None

    def end(self) -> None:
        """Let it shut down cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Let it hang: connections stay open, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill()  # its data goes as well
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
