"""The connections of the server: how many there may be, and how long each may take.

No client holds up another one. There is a deadline for a TLS handshake, for the header of a request, for its body, and
for a connection that is kept alive. If there are too many connections, the one that has been idle longest makes room
for a new one, so that a probe gets through.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from learnd.daemon.http.answers import RefusedError, raw_error

MOST_CONNECTIONS = 128
MOST_BODY_BYTES = 64 << 10
HEADER_WITHIN_S = 5.0  # of a request, from its first byte; the first one of a connection, from when it was opened
BODY_WITHIN_S = 5.0
KEEP_ALIVE_S = 75.0
_SWEEP_EVERY_S = 0.25
_LINGER_S = 1.0  # for what a client still sends after its answer, and for it to take an answer that ends a connection
_GRACE_S = 0.2  # for requests that are under way when the server stops
_PAUSE_S = 0.2  # if nothing can be accepted, as when there are too many open files

log = structlog.get_logger("learnd.http")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Connections:
    """Accepts connections, and ends those that take too long. For one event loop."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._manager = web.Server(handler, request_factory=_request)
        self._seats: set[_Seat] = set()

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections until it is cancelled."""
        told = False
        while True:
            try:
                client, _ = await self._loop.sock_accept(listening)
            except OSError as error:
                if not told:
                    log.warning("http_not_accepted", reason=error.strerror, consequence="clients wait to be connected")
                told = True
                await asyncio.sleep(_PAUSE_S)
                continue
            told = False
            if len(self._seats) >= MOST_CONNECTIONS:
                self._cut(min(self._seats, key=_Seat.worth))
            seat = _Seat(self._loop.time())
            seat.opening = self._loop.create_task(self._open(seat, client))
            self._seats.add(seat)
            await asyncio.sleep(0)  # whoever opens many is not the only one who is served

    async def sweep(self) -> None:
        """End what takes too long, until it is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            now_s = self._loop.time()
            for seat in [seat for seat in self._seats if seat.is_late(now_s)]:
                seat.end()

    async def close(self) -> None:
        """Let requests that are under way end, for a moment, and then end all connections."""
        self._manager.pre_shutdown()
        await self._manager.shutdown(_GRACE_S)
        for seat in list(self._seats):
            self._cut(seat)

    def _cut(self, seat: _Seat) -> None:
        self._seats.discard(seat)
        seat.cut()

    async def _open(self, seat: _Seat, client: socket.socket) -> None:
        """Make a connection of an accepted socket, whose handshake has a deadline."""

        def connection() -> Connection:
            seat.connection = Connection(self._manager, self._loop, lambda: self._seats.discard(seat))
            return seat.connection

        limits = {"ssl_handshake_timeout": HEADER_WITHIN_S, "ssl_shutdown_timeout": _LINGER_S}
        within = limits if self._tls is not None else {}
        try:
            await self._loop.connect_accepted_socket(connection, client, ssl=self._tls, **within)
        except (OSError, asyncio.CancelledError) as error:  # among them a handshake that fails or takes too long
            log.debug("http_handshake_failed", reason=str(error))
            self._seats.discard(seat)
            client.close()


class _Seat:
    """A connection, or one that is being opened."""

    def __init__(self, opened_s: float) -> None:
        self.opened_s = opened_s
        self.opening: asyncio.Task[None] | None = None
        self.connection: Connection | None = None

    def worth(self) -> tuple[bool, float]:
        """Return what decides who makes room: idle ones first, those that are so for longest."""
        if self.connection is None:
            return False, self.opened_s
        return self.connection.busy, self.connection.since_s

    def is_late(self, now_s: float) -> bool:
        return self.connection is not None and self.connection.is_late(now_s)

    def end(self) -> None:
        if self.connection is not None:
            self.connection.end()

    def cut(self) -> None:
        if self.connection is not None:
            self.connection.cut()
        elif self.opening is not None:
            self.opening.cancel()


class Connection(web.RequestHandler):
    """One connection. It is busy from the end of a request's header to the end of its answer."""

    __slots__ = ("_begun", "_closed", "_own_transport", "_served", "busy", "ends", "since_s")

    def __init__(self, manager: web.Server, loop: asyncio.AbstractEventLoop, closed: Callable[[], None]) -> None:
        """`closed` is called once, when it is lost."""
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=2 * KEEP_ALIVE_S,  # `is_late` comes before
            lingering_time=_LINGER_S,
            auto_decompress=False,  # the limit of a body is one of what it takes in memory
            access_log=None,  # type: ignore[arg-type]  # it is not asked for if there is none
        )
        self._closed = closed
        self._own_transport: asyncio.Transport | None = None  # also while an answer that ends it is not taken
        self.busy = False
        self.ends = False  # with the answer that is under way
        self.since_s = loop.time()  # it is busy, idle, or sending a header
        self._begun = False  # whether a header has begun
        self._served = False  # whether it has had a request

    def data_received(self, data: bytes) -> None:
        """Take in what the client sends."""
        if not (self.busy or self.ends or self._begun):
            self._begun = True
            if self._served:
                self.since_s = self._loop.time()
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the client."""
        self._own_transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is under way."""
        super().connection_lost(exc)
        self._closed()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve a request."""
        self.busy, self.since_s = True, self._loop.time()
        try:
            yield
        finally:
            self.busy, self.since_s = False, self._loop.time()
            self._begun, self._served = False, True

    def is_late(self, now_s: float) -> bool:
        """Whether it has been idle, or has sent a header, for too long."""
        limit_s = HEADER_WITHIN_S if self._begun or not self._served else KEEP_ALIVE_S
        return not self.busy and now_s - self.since_s > limit_s

    def end(self) -> None:
        """End it for being late; whoever has begun a request is told why."""
        transport = self.transport
        if transport is None or not self._begun:
            self.cut()
            return
        slow = f"the header of the request was not complete within {HEADER_WITHIN_S:g} s"
        transport.write(raw_error(HTTPStatus.REQUEST_TIMEOUT, slow))
        self.force_close()
        self._loop.call_later(_LINGER_S, transport.abort)

    def cut(self) -> None:
        """End it at once."""
        if self._own_transport is not None:
            self._own_transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not a request. Raises ConnectionError, which ends the connection, if an answer has begun."""
        if request.writer.output_size > 0 or isinstance(exc, ConnectionError):
            raise ConnectionError("the client is gone, or has a part of an answer") from exc
        code, what = HTTPStatus(status), str(message or exc or "not known").splitlines()[0]
        if isinstance(exc, LineTooLong):
            code, what = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "a line of the header is too long"
        log.debug("http_bad_request", client=request.remote, reason=what)
        return RefusedError(code, f"this is not a request of HTTP/1.1: {what}", ends=True).answer()

    def log_exception(self, *args: Any, **_: Any) -> None:
        """Tell of a client that broke off; the daemon goes on."""
        log.debug("http_request_failed", reason=" ".join(map(str, args)), exc_info=True)  # noqa: LOG014  (called within one)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    """Return a request as the server makes them, but with the limit of its body."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MOST_BODY_BYTES)


async def body_of(request: web.BaseRequest) -> bytes:
    """Return the body of a request. Raises RefusedError if it is too long, takes too long or breaks off."""
    if (request.content_length or 0) > MOST_BODY_BYTES:
        raise _too_long()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.read()
    except TimeoutError:
        slow = f"the body of the request was not complete within {BODY_WITHIN_S:g} s"
        raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, slow, ends=True) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_long() from None
    except web.RequestPayloadError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body of the request is broken: {error}") from None


def _too_long() -> RefusedError:
    error = f"the body of the request has more than {MOST_BODY_BYTES:,} bytes"
    return RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error, ends=True)


def cut(request: web.BaseRequest) -> None:
    """Cut the connection of a request, whose client does not take its answer."""
    with suppress(AttributeError):  # it is gone already
        request.transport.abort()  # type: ignore[union-attr]
