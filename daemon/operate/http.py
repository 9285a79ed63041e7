"""The HTTP server: `/metrics`, `/healthz`, `/readyz`, `/status`. It reads, and never commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client.exposition import choose_encoder

from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.settings import split_address
from learnd.daemon.operate.summary import to_json

_READ_TIMEOUT_S = 5.0
_MOST_CONNECTIONS = 32
_POLL_S = 0.2
_PATIENCE_S = 5.0

_INDEX = """learnd

/metrics   what Prometheus reads
/healthz   200 while the daemon is alive, 503 with the reason when it is not
/readyz    200 once it is restored and consuming
/status    the state and more, as JSON
"""

log = structlog.get_logger("learnd.http")


class HttpServer:
    """Serves until `stop`. Slow, silent or many clients delay neither a probe nor the stop.

    `status` is called from other threads, once for each request, and returns what JSON can hold.
    """

    def __init__(self, listen: str, metrics: Metrics, health: Health, status: Callable[[], Mapping[str, Any]]) -> None:
        """Bind to `host:port`. Raises SettingsError if the address is taken, or is not one of this machine."""
        host, port = split_address(listen)
        try:
            self._server = _Server(host, port, partial(_Handler, metrics, health, status))
        except OSError as error:
            problem = (
                f"http.listen: cannot listen on {listen}: {error.strerror}. Choose another port, 0 for any free one, "
                "or null to run without HTTP: --set http.listen=null"
            )
            raise SettingsError([problem]) from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on, also if 0 was asked for."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the index."""
        host = str(self._server.server_address[0])
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Serve in another thread."""
        self._thread.start()
        log.info("http is listening", url=self.url)

    def stop(self) -> None:
        """Stop listening and close all connections; return within a second."""
        if self._thread.is_alive():
            self._server.shutdown()
            join_within(self._thread, _PATIENCE_S, "a request that is under way is cut")
        self._server.server_close()
        self._server.cut_all()


class _Server(ThreadingHTTPServer):
    """One thread per connection. If there are too many, a new one cuts the oldest, so that probes get through."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, host: str, port: int, handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: dict[int, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, but do not look up the host's name as the base class does: that can block for seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[id(request)] = request
            oldest = next(iter(self._open.values())) if len(self._open) > _MOST_CONNECTIONS else None
        if oldest is not None:
            _cut(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        """Cut each open connection; its thread then ends."""
        with self._lock:
            connections = list(self._open.values())
        for connection in connections:
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log why a request failed, which may only be that its client went away; the daemon goes on."""
        log.debug("http request failed", client=client_address[0], exc_info=True)  # noqa: LOG014  (called within one)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already gone


class _Handler(BaseHTTPRequestHandler):
    timeout = _READ_TIMEOUT_S
    server_version = "learnd"
    sys_version = ""

    def __init__(
        self, metrics: Metrics, health: Health, status: Callable[[], Mapping[str, Any]], *connection: Any
    ) -> None:
        self._metrics, self._health, self._status = metrics, health, status
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self._metrics.registry), content_type)
        elif path == "/healthz":
            self._answer_probe(self._health.why_not_alive())
        elif path == "/readyz":
            self._answer_probe(self._health.why_not_ready())
        elif path == "/status":
            body = {"state": self._health.state, **self._status()}
            self._answer(HTTPStatus.OK, to_json(body).encode(), "application/json")
        elif path == "/":
            self._answer(HTTPStatus.OK, _INDEX.encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, f"there is nothing at {path}; see /\n".encode())

    do_HEAD = do_GET  # noqa: N815  (the name that the base class looks for)

    def _answer_probe(self, why_not: str | None) -> None:
        status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, f"{why_not or 'ok'}\n".encode())

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (named by the base class)
        log.debug("http request", client=self.client_address[0], request=format % args)
