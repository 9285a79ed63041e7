"""What is served: paths, and who answers them. A new thing to serve is a module with routes of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import web

from learnd.daemon.http.answers import RefusedError, Route, Routes
from learnd.daemon.http.auth import Token
from learnd.daemon.http.connections import Connection
from learnd.daemon.http.control import Control
from learnd.daemon.http.parts import Parts
from learnd.daemon.http.watching import Watching

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

log = structlog.get_logger("learnd.http")


class App:
    """Finds who answers a request, and turns what goes wrong into an answer."""

    def __init__(self, parts: Parts, token: Token, workers: Executor, ending: asyncio.Event, *, local: bool) -> None:
        """What takes longer than a moment, or reads files, runs on `workers`. All answers end at `ending`.

        `local`: this machine alone reaches it, by its usual names: a name that somebody else gave it is refused, since
        a page in a browser may have that name, too.
        """
        self._local = local
        self._routes: Routes = {
            **Watching(parts, workers, ending).routes,
            **Control(parts, token, workers).routes,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        connection = cast("Connection", request.protocol)
        with connection.serving():
            try:
                self._check_origin(request)
                route, rest = self._route(request)
                return await route(request, rest)
            except RefusedError as refused:
                connection.ends = refused.ends
                return refused.answer()
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception as error:  # one answer is lost, and the daemon goes on
                log.warning("http_not_answered", path=request.path, exc_info=True)
                if request.writer.output_size > 0:
                    raise  # a part of the answer was sent
                failed = f"{request.path} cannot be answered: {type(error).__name__}: {error}"
                return RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, failed).answer()

    def _check_origin(self, request: web.BaseRequest) -> None:
        """Raise RefusedError if another site's page asks, in a browser on this machine."""
        if (
            request.headers.get("Sec-Fetch-Site") == "cross-site"
            and request.headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            raise RefusedError(HTTPStatus.FORBIDDEN, "a page of another site may not read this")
        host = request.headers.get("Host", "")
        if self._local and host and _name_of(host) not in _LOCAL_NAMES:
            other = f"this is {', '.join(_LOCAL_NAMES)}, and not {host}; to be reached by another name, set http.listen"
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, other)

    def _route(self, request: web.BaseRequest) -> tuple[Route, str]:
        path = request.path
        head, slash, rest = path.rpartition("/")
        methods = self._routes.get(path)
        if methods is None and head:
            methods = self._routes.get(head + slash)
        else:
            rest = ""
        if methods is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is nothing at {path}; / tells what there is")
        if (route := methods.get("GET" if request.method == "HEAD" else request.method)) is None:
            allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
            refused = f"{path} takes {allowed}, and not {request.method}"
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, refused, {"Allow": allowed})
        return route, rest


def _name_of(host: str) -> str:
    """Return a host without its port."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
