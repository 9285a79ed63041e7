"""A TCP proxy that cuts connections on request, in the middle of what goes through."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Listens on a port of its own; `target` may be set later."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.target = ""
        self.cuts = 0
        self._cut_after: int | None = None  # bytes from the target
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, size: int) -> None:
        """Cut the connection that brings the byte of that number, counted from now over all of them."""
        with self._lock:
            self._cut_after = size

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        host, _, port = self.target.rpartition(":")
        with client, contextlib.suppress(OSError), socket.create_connection((host, int(port))) as target:
            threading.Thread(target=self._copy, args=(client, target), daemon=True).start()
            while data := target.recv(65_536):
                allowed = self._allowed(len(data))
                client.sendall(data[:allowed])
                if allowed < len(data):
                    client.shutdown(socket.SHUT_RDWR)  # the other thread still waits for it: to close is not enough
                    return

    def _copy(self, client: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                target.sendall(data)

    def _allowed(self, size: int) -> int:
        """Return how many of these bytes may pass."""
        with self._lock:
            if self._cut_after is None:
                return size
            if self._cut_after >= size:
                self._cut_after -= size
                return size
            allowed, self._cut_after = self._cut_after, None
            self.cuts += 1
            return allowed
