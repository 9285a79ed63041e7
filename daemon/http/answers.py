"""What answers have in common: who gives them, their headers, and errors as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import web

from learnd.daemon.operate.summary import to_json

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Server": "learnd",
    "X-Content-Type-Options": "nosniff",
}
"""Those of every answer."""


Route: TypeAlias = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]
"""Answers a request; the text is what follows a path that ends with a slash. Raises RefusedError."""

Routes: TypeAlias = Mapping[str, Mapping[str, Route]]
"""By path and method. `GET` answers `HEAD`, too."""


class RefusedError(Exception):
    """Raised by a handler that answers with an error: what is wrong, and the way out."""

    def __init__(
        self, status: HTTPStatus, error: str, headers: Mapping[str, str] | None = None, *, ends: bool = False
    ) -> None:
        """`ends` says that the connection ends with it."""
        self.status = status
        self.error = error
        self.headers = headers or {}
        self.ends = ends
        super().__init__(error)

    def answer(self) -> web.Response:
        """Return it as JSON."""
        made = json_answer({"error": self.error}, self.status, self.headers)
        if self.ends:
            made.force_close()
        return made


def json_answer(
    value: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer of strict JSON."""
    return answer(f"{to_json(value)}\n".encode(), "application/json", status, headers)


def answer(
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return an answer."""
    return web.Response(body=body, status=status, headers={**HEADERS, "Content-Type": content_type, **(headers or {})})


def raw_error(status: HTTPStatus, error: str) -> bytes:
    """Return the bytes of an error, for a client that has not sent a whole request."""
    body = f"{to_json({'error': error})}\n".encode()
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body
