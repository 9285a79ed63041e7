"""Who may change something: whoever knows the token."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from pathlib import Path

from learnd.daemon.errors import SettingsError
from learnd.daemon.http.answers import RefusedError

_LEAST_CHARACTERS = 16
_SCHEME = "bearer"


class Token:
    """The token in a file, which is read for each request: a renewed one serves at once."""

    def __init__(self, file: Path | None) -> None:
        """Raises SettingsError if there is a file, but no token in it."""
        self.file = file
        if file is not None:
            try:
                _read(file)
            except ValueError as error:
                raise SettingsError([f"http.token_file: {error}"]) from None

    def check(self, authorization: str) -> None:
        """Raise RefusedError unless a header `Authorization` carries the token."""
        file = self.file
        if file is None:
            off = "nothing can be changed over HTTP: set http.token_file to a file with a token, or use `learnd ctl`"
            raise RefusedError(HTTPStatus.FORBIDDEN, off)
        try:
            token = _read(file)
        except ValueError as error:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, f"nothing was changed: {error}") from None
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
        if scheme.lower() != _SCHEME or not same:
            wrong = (
                "the token is missing or wrong: give the content of http.token_file as `Authorization: Bearer TOKEN`"
            )
            raise RefusedError(HTTPStatus.UNAUTHORIZED, wrong, {"WWW-Authenticate": "Bearer"})


def _read(file: Path) -> str:
    """Return the token in a file. Raises ValueError."""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} holds no token: it is not text") from None
    if len(token) < _LEAST_CHARACTERS or not token.isprintable():
        raise ValueError(
            f"{file} holds no token of {_LEAST_CHARACTERS} characters or more; make one: openssl rand -hex 32 > {file}"
        )
    return token
