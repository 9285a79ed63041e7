"""What a service manager such as systemd is told: that the daemon is ready, alive, or about to end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Self

import structlog

from learnd.daemon.foundation.threads import join_within

log = structlog.get_logger()

_SEND_WITHIN_S = 1.0
_PATIENCE_S = 5.0

_READY, _STOPPING, _WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"
_TOLD_OF = {"consuming": _READY, "paused": _READY, "finishing": _STOPPING, "failed": _STOPPING}


class ServiceManager:
    """Tells the service manager that started this process, if there is one, by the protocol of sd_notify(3).

    A context manager: within it, a thread says that the daemon is alive, at least twice in the time that the service
    manager waits for it, as long as `why_not_alive()` returns None.
    """

    def __init__(self, environ: Mapping[str, str], why_not_alive: Callable[[], str | None]) -> None:
        """`environ` may have NOTIFY_SOCKET, and WATCHDOG_USEC with WATCHDOG_PID."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._why_not_alive = why_not_alive
        self._told: set[str] = set()
        self._ending = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._every_s = _watchdog_s(environ) / 3

    def __enter__(self) -> Self:
        if self._address and self._every_s:
            self._watchdog.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        join_within(self._watchdog, _PATIENCE_S, "none: the service manager may hear of this process once more")

    def entered(self, state: str) -> None:
        """The daemon is now in one of `health.STATES`. The service manager is told once that it is ready or ends."""
        message = _TOLD_OF.get(state)
        if self._address and message is not None and message not in self._told:
            self._told.add(message)
            self._tell(message)

    def _watch(self) -> None:
        while True:
            if self._why_not_alive() is None:
                self._tell(_WATCHDOG)
            if self._ending.wait(self._every_s):
                return

    def _tell(self, message: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address  # of no file
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_WITHIN_S)
                sender.sendto(message.encode(), address)
        except OSError as error:
            log.warning(
                "service_manager_away",
                message=message,
                reason=str(error),
                consequence="the service manager may take this process for one that hangs, and start it again",
            )


def _watchdog_s(environ: Mapping[str, str]) -> float:
    """Return how long the service manager waits for a sign of life of this process; 0 if it waits for none."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    given = environ.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isdecimal() else 0.0
