"""What is there to look at: metrics, probes, status, the page and what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from learnd.daemon.http.answers import HEADERS, Routes, answer
from learnd.daemon.http.connections import cut
from learnd.daemon.http.page import page
from learnd.daemon.http.parts import Parts
from learnd.daemon.operate.summary import to_json

_EVERY_S = 1.0  # between two messages to a page
_TAKEN_WITHIN_S = 5.0  # or the page is dropped
_MOST_PAGES = 16
_OF_EACH_PARTITION = ("lag", "positions")  # of which there may be thousands: a page shows sums

_INDEX = b"""learnd

/             a page to look at, for browsers
/metrics      what Prometheus reads
/healthz      200 while the daemon is alive, 503 with the reason when it is not
/readyz       200 once it is restored and consuming
/status       the state and more, as JSON
/v1/live      what the page shows: server-sent events
/v1/control/  POST /v1/control/ACTION commands, GET /v1/control/ID tells what became of it
"""

T = TypeVar("T")


class Watching:
    """Answers that change nothing."""

    def __init__(self, parts: Parts, workers: Executor, ending: asyncio.Event) -> None:
        """What takes longer than a moment runs on `workers`; messages to pages end at `ending`."""
        self._parts = parts
        self._workers = workers
        self._ending = ending
        self._pages: list[web.BaseRequest] = []  # the oldest first, which makes room for a new one
        self.routes: Routes = {
            "/": {"GET": self._index},
            "/metrics": {"GET": self._metrics},
            "/healthz": {"GET": self._alive},
            "/readyz": {"GET": self._ready},
            "/status": {"GET": self._status},
            "/v1/live": {"GET": self._live},
        }

    async def _index(self, request: web.BaseRequest, _: str) -> web.StreamResponse:
        if "text/html" not in request.headers.get("Accept", ""):
            return answer(_INDEX)
        document, policy = await self._aside(page)
        return answer(document, "text/html; charset=utf-8", headers={"Content-Security-Policy": policy})

    async def _metrics(self, request: web.BaseRequest, _: str) -> web.StreamResponse:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return answer(await self._aside(encode, self._parts.metrics.registry), content_type)

    async def _alive(self, _: web.BaseRequest, __: str) -> web.StreamResponse:
        return _probe(self._parts.health.why_not_alive())

    async def _ready(self, _: web.BaseRequest, __: str) -> web.StreamResponse:
        return _probe(self._parts.health.why_not_ready())

    async def _status(self, _: web.BaseRequest, __: str) -> web.StreamResponse:
        return answer(await self._aside(lambda: to_json(self._now()).encode()), "application/json")

    async def _live(self, request: web.BaseRequest, _: str) -> web.StreamResponse:
        """Send all that there is to show, then each second what is new. Whoever does not take it is cut off."""
        if len(self._pages) >= _MOST_PAGES:
            cut(self._pages.pop(0))
        self._pages.append(request)
        try:
            return await self._send_live(request)
        finally:
            if request in self._pages:
                self._pages.remove(request)

    async def _send_live(self, request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        if request.method == "HEAD":
            return stream
        revision = 0
        while not self._ending.is_set():
            revision, more, message = await self._aside(self._message, revision)
            try:
                async with asyncio.timeout(_TAKEN_WITHIN_S):
                    await stream.write(message)
            except TimeoutError:
                cut(request)
                return stream
            if not more:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), _EVERY_S)
        return stream

    def _message(self, revision: int) -> tuple[int, bool, bytes]:
        """Return the revision that the news since one lead to, whether there are more, and an event that tells them."""
        news = self._parts.live.since(revision)
        now = {name: value for name, value in self._now().items() if name not in _OF_EACH_PARTITION}
        message = to_json({"now": now, "from": revision, **news})
        return news["revision"], news["more"], f"data: {message}\n\n".encode()

    def _now(self) -> dict[str, Any]:
        health = self._parts.health
        alive = health.why_not_alive() is None
        return {"state": health.state, "alive": alive, "not_ready": health.why_not_ready(), **self._parts.status()}

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *given)


def _probe(why_not: str | None) -> web.StreamResponse:
    status = HTTPStatus.OK if why_not is None else HTTPStatus.SERVICE_UNAVAILABLE
    return answer(f"{why_not or 'ok'}\n".encode(), status=status)
