"""Commands over HTTP: the same as those of `learnd ctl`, left in the same inbox, and what became of them.

A command has an id, which its client may choose: it acts once, however often it is asked for.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from learnd.daemon.actions import ACTIONS, COMMANDS
from learnd.daemon.asking import NOTHING, checked, leave
from learnd.daemon.config.document import Document
from learnd.daemon.config.problems import Outline, describe
from learnd.daemon.control.inbox import Inbox
from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.http.answers import RefusedError, Routes, json_answer
from learnd.daemon.http.auth import Token
from learnd.daemon.http.connections import body_of
from learnd.daemon.http.parts import Parts
from learnd.daemon.state.history import HISTORY_FILE, newest_first
from learnd.daemon.values import Command, Facts

PATH = "/v1/control/"
_WAIT_S = 5.0  # for the outcome, before the answer says where to ask for it
_LOOK_EVERY_S = 0.05
_MOST_REMEMBERED = 1_000  # commands
_REMEMBERED_BYTES = 1 << 24  # of the history, in which an id is looked for

T = TypeVar("T")


class Asked(BaseModel):
    """The body of a command."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]
    """What the action takes."""

    why: Annotated[str, Field(max_length=1000)] = ""
    """For the history."""

    by: Annotated[str, Field(max_length=200)] = ""
    """Who asks, for the history. Default: the client's address."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """A name for this request: it acts once, however often it is sent."""


class Control:
    """Answers that change something, for those who know the token."""

    def __init__(self, parts: Parts, token: Token, workers: Executor) -> None:
        """What reads and writes files runs on `workers`."""
        self._live = parts.live
        self._root, self._history = parts.root, parts.root / HISTORY_FILE
        self._inbox = Inbox(parts.root)
        self._token = token
        self._workers = workers
        self._asking = asyncio.Lock()  # two requests of one id are one command
        self._asked: dict[str, Facts] = {}  # the latest commands: between inbox and history, a call has them
        self.routes: Routes = {PATH: {"POST": self._ask, "GET": self._tell}}

    async def _ask(self, request: web.BaseRequest, action: str) -> web.StreamResponse:
        await self._authorize(request)
        if action not in ACTIONS:
            there = f"POST {PATH}ACTION, where ACTION is one of {', '.join(COMMANDS)}"
            raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no action {action!r}: {there}. {NOTHING}")
        asked = _parsed(await body_of(request))
        async with self._asking:
            given = await self._aside(self._left, action, asked, asked.by or f"http {request.remote}")
        return await self._answer(given, wait_s=_WAIT_S)

    async def _tell(self, request: web.BaseRequest, given: str) -> web.StreamResponse:
        await self._authorize(request)
        return await self._answer(given, wait_s=0.0)

    async def _authorize(self, request: web.BaseRequest) -> None:
        await self._aside(self._token.check, request.headers.get("Authorization", ""))

    def _left(self, action: str, asked: Asked, by: str) -> str:
        """Leave a command, unless it was asked for before, and return its id. Raises RefusedError."""
        try:
            arguments = checked(action, asked.arguments)
            before = self._known(asked.id) if asked.id is not None else None
            if before is None:
                command, _ = leave(self._root, Command(asked.id or "", action, arguments, by, why=asked.why))
                self._remember(command)
                return command.id
        except SettingsError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, _sentences(error.problems)) from None
        except StoreError as error:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None
        # which phase ends, nobody needs to say
        earlier = {name: value for name, value in before["arguments"].items() if name in arguments or name != "after"}
        if (before["action"], earlier) != (action, arguments):
            other = f"id {asked.id}: it was another command, {before['action']}: give each command an id of its own"
            raise RefusedError(HTTPStatus.CONFLICT, f"{other}. {NOTHING}")
        return str(before["id"])

    async def _answer(self, given: str, *, wait_s: float) -> web.StreamResponse:
        """Tell what became of a command, once that is known or after a while that it is not."""
        known = await self._aside(self._known, given)
        if known is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"no command has the id {given!r}")
        until_s = time.monotonic() + wait_s
        while "outcome" not in known and time.monotonic() < until_s:  # the thread that trains wakes nobody for that
            await asyncio.sleep(_LOOK_EVERY_S)
            known = self._live.outcome(given) or known
        if "outcome" not in known:
            waits = {"id": given, "action": known["action"], "outcome": None, "ask": f"{PATH}{given}"}
            return json_answer(waits, HTTPStatus.ACCEPTED, {"Location": f"{PATH}{given}"})
        status = HTTPStatus.CONFLICT if known["outcome"] == "refused" else HTTPStatus.OK
        return json_answer(known, status)

    def _known(self, given: str) -> Facts | None:
        """Return what is known of a command: with its outcome, or as it waits; None if there was none of this id."""
        return (
            self._live.outcome(given)
            or next((command for command in self._inbox.listed() if command.get("id") == given), None)
            or next(
                (told for told in newest_first(self._history, "command", _REMEMBERED_BYTES) if told["id"] == given),
                None,
            )
            or self._asked.get(given)
        )

    def _remember(self, command: Command) -> None:
        self._asked[command.id] = asdict(command)
        if len(self._asked) > _MOST_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work, *given)


def _sentences(problems: Sequence[str]) -> str:
    return " ".join(problem if problem.endswith(".") else f"{problem}." for problem in problems)


def _parsed(body: bytes) -> Asked:
    """Return what a body asks for; nothing is the same as an empty object. Raises RefusedError."""
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}. {NOTHING}") from None
    try:
        return Asked.model_validate(given)
    except ValidationError as error:
        problems = describe(error, Document("the body", {}, given), Outline(Asked))
        raise RefusedError(HTTPStatus.BAD_REQUEST, _sentences([*problems, NOTHING])) from None
