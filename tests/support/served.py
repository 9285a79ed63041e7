"""A server over HTTP beside no daemon: its parts are set by the test."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from learnd.daemon.http.parts import Parts
from learnd.daemon.http.server import HttpServer
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.live import Live
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.settings import HttpSettings

TOKEN = "a token of a test, long enough"


class Served:
    """Runs on a free port, within a `with`."""

    def __init__(self, root: Path = Path("/nowhere"), **settings: Any) -> None:
        """`settings` are those under `http`."""
        self.metrics, self.health, self.live = Metrics(), Health(), Live()
        self.status: Any = {}
        parts = Parts(self.metrics, self.health, self.live, lambda: self.status, root)
        self.server = HttpServer(HttpSettings.model_validate({"listen": "127.0.0.1:0", **settings}), parts)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, str, str]:
        """Return the status of an answer, its body and the type of that."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers["Content-Type"]
        finally:
            connection.close()

    def post(self, path: str, token: str | None = TOKEN, **body: Any) -> tuple[int, dict[str, Any]]:
        """Return the status and the object of an answer to a command."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        status, text, kind = self.get(path, "POST", json.dumps(body), **headers)
        assert kind == "application/json"
        return status, json.loads(text)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=20)


def read_all(connection: socket.socket) -> bytes:
    """Return what a server sends until it ends the connection."""
    received = bytearray()
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


def answers(received: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Return the answers in what a server has sent: status, headers, body. Each must be whole."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in {"HTTP/1.1", "HTTP/1.0", "HTTP/0.9"}, first
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        assert len(rest) >= length, received
        found.append((int(status), headers, rest[:length]))
        received = rest[length:]
    return found


def wait_for(happened: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"it was expected {what}"
        time.sleep(0.02)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself, and its key; return their files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    new = [folder / f".new-{path.name}" for path in (certificate, key)]
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
            "-out", new[0], "-keyout", new[1],
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    new[1].replace(key)
    new[0].replace(certificate)
    return certificate, key


def name_of(port: int, trusted: Path) -> str:
    """Return the name in the certificate that a server shows, which must be the one that is trusted."""
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        shown: Any = secure.getpeercert()
        return str(shown["subject"][0][0][1])
