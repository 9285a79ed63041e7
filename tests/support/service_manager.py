"""The end of a service manager: a socket that hears what sd_notify(3) sends."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PATIENCE_S = 100.0


class Listener:
    """Hears what a daemon tells at `address`."""

    def __init__(self, address: str, heard: socket.socket) -> None:
        self.address = address
        self._heard = heard

    def next(self) -> str:
        """Wait for the next message. The test fails if none comes."""
        return self._heard.recv(4096).decode()

    def waiting(self) -> list[str]:
        """Return the messages that have come by now."""
        found = []
        self._heard.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._heard.recv(4096).decode())
        self._heard.settimeout(_PATIENCE_S)
        return found

    def wait_for(self, message: str) -> list[str]:
        """Return the messages up to this one, which is the last."""
        found = [self.next()]
        while found[-1] != message:
            found.append(self.next())
        return found


@contextlib.contextmanager
def listening(name: str | None = None) -> Iterator[Listener]:
    """Listen at a path, or at a name that is no file: `@` and what the kernel knows it by."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        address = str(Path(folder, "notify")) if name is None else f"@{name}"
        heard.bind(address if name is None else f"\0{name}")
        heard.settimeout(_PATIENCE_S)
        yield Listener(address, heard)
