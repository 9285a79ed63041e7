"""The HTTP server: one thread with an event loop, beside the one that trains."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import structlog

from learnd.daemon.errors import SettingsError
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.http.app import App
from learnd.daemon.http.auth import Token
from learnd.daemon.http.connections import MOST_CONNECTIONS, Connections
from learnd.daemon.http.parts import Parts
from learnd.daemon.http.tls import Certificate
from learnd.daemon.operate.settings import HttpSettings, split_address

_RENEW_EVERY_S = 2.0
_PATIENCE_S = 5.0
_WORKERS = 2  # threads for what takes longer than a moment, or reads files

log = structlog.get_logger("learnd.http")


class HttpServer:
    """Serves from `start` until `stop`. Slow, silent or many clients delay neither a probe nor the stop."""

    def __init__(self, settings: HttpSettings, parts: Parts) -> None:
        """Bind to `settings.listen`, which is an address.

        Raises SettingsError if it is taken, or is not one of this machine, or if the token or the certificate is none.
        """
        assert settings.listen is not None, "it is on"
        self._token = Token(settings.token_file)
        self._certificate = Certificate(settings.tls) if settings.tls is not None else None
        self._parts = parts
        self._socket = _bound(settings.listen)
        self._address = self._socket.getsockname()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on, also if 0 was asked for."""
        return int(self._address[1])

    @property
    def url(self) -> str:
        """The address of the page."""
        scheme, host = "http" if self._certificate is None else "https", str(self._address[0])
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def start(self) -> None:
        """Serve in another thread."""
        self._thread.start()
        self._started.wait()
        log.info("http is listening", url=self.url)

    def take_up(self, settings: HttpSettings) -> None:
        """Let those command from now on who have the token of these settings, in which nothing else may differ."""
        self._token.file = settings.token_file

    def stop(self) -> None:
        """Stop listening and close all connections; return within a second."""
        if self._thread.is_alive() and self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            join_within(self._thread, _PATIENCE_S, "a request that is under way is cut")
        self._socket.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._started.set()  # also if it could not start

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_tell)
        workers = ThreadPoolExecutor(_WORKERS, "http-worker")
        local = ip_address(self._address[0]).is_loopback
        app = App(self._parts, self._token, workers, self._ending, local=local)
        connections = Connections(app.handle, self._certificate.context if self._certificate is not None else None)
        tasks = [asyncio.create_task(connections.accept(self._socket)), asyncio.create_task(connections.sweep())]
        if self._certificate is not None:
            tasks.append(asyncio.create_task(self._renew(self._certificate, workers)))
        self._started.set()
        await self._ending.wait()
        for task in tasks:
            task.cancel()
        await connections.close()
        workers.shutdown(wait=False, cancel_futures=True)

    async def _renew(self, certificate: Certificate, workers: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_RENEW_EVERY_S)
            await loop.run_in_executor(workers, certificate.renew)


def _bound(listen: str) -> socket.socket:
    """Return a socket that listens. Raises SettingsError."""
    host, port = split_address(listen)
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(MOST_CONNECTIONS)
    except OSError as error:
        listening.close()
        problem = (
            f"http.listen: cannot listen on {listen}: {error.strerror}. Choose another port, 0 for any free one, "
            "or null to run without HTTP: --set http.listen=null"
        )
        raise SettingsError([problem]) from None
    listening.setblocking(False)
    return listening


def _tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Tell of what went wrong with one connection; the others go on."""
    log.debug("http_connection_failed", reason=context.get("message"), exc_info=context.get("exception"))
