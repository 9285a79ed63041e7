"""Avro schemas by their numbers, from a schema registry with Confluent's interface.

See https://docs.confluent.io/platform/current/schema-registry/develop/api.html. A number always stands for the same
schema, so each one is fetched once.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from learnd.connectors.kafka.connection import SchemaRegistrySettings
from learnd.daemon.errors import SourceError

_TIMEOUT_S = 5.0
_ASK_AGAIN_S = 5.0  # another machine of the registry may know a number a moment later
_MOST_BYTES = 16 << 20
_DEEPEST = 20
_NOT_FOUND = {40401, 40402, 40403}  # subject, version, schema


class SchemaRegistryAwayError(Exception):
    """Raised when the registry does not answer as it should: it may do so later."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: another address would get the password."""

    def redirect_request(self, *_: Any) -> None:
        return None


class SchemaRegistry:
    """Schemas that were fetched, and numbers that are unknown. For one thread."""

    def __init__(self, settings: SchemaRegistrySettings) -> None:
        """Raises SourceError if the certificates to trust cannot be used."""
        self._url = settings.url.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if settings.username is not None and settings.password is not None:
            pair = f"{settings.username}:{settings.password.get_secret_value()}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=settings.ca))
        except OSError as error:  # SSLError is one
            raise self._final(f"{settings.ca} holds no certificates to trust: {error}") from error
        self._open = urllib.request.build_opener(_NoRedirects, trusted).open
        self._known: dict[int, tuple[str, ...]] = {}
        self._unknown_s: dict[int, float] = {}

    def schema(self, number: int) -> tuple[str, ...] | None:
        """Return the texts of the schemas that a schema builds on, then its own; None if the number is unknown.

        Raises SchemaRegistryAwayError, or SourceError if it refuses for good.
        """
        if number in self._known:
            return self._known[number]
        if time.monotonic() < self._unknown_s.get(number, 0.0) + _ASK_AGAIN_S:
            return None
        found = self._ask(f"/schemas/ids/{number}")
        if found is None:
            self._unknown_s[number] = time.monotonic()
            return None
        texts = list(dict.fromkeys(self._texts(found, _DEEPEST)))
        self._known[number] = tuple(texts)
        return self._known[number]

    def _texts(self, answer: Any, depth: int) -> list[str]:
        texts = []
        for reference in answer.get("references") or () if depth else ():
            subject = urllib.parse.quote(reference["subject"], safe="")
            inner = self._ask(f"/subjects/{subject}/versions/{reference['version']}")
            texts += self._texts(inner, depth - 1) if inner is not None else []
        return [*texts, str(answer["schema"])]

    def _ask(self, path: str) -> Any:
        """Return the answer; None if the registry says that there is no such schema."""
        request = urllib.request.Request(self._url + path, headers=self._headers)  # noqa: S310  (http or https)
        try:
            with self._open(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(path, error)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise self._final(f"its certificate is not accepted: {reason.verify_message}") from error
            raise SchemaRegistryAwayError(f"the schema registry {self._url} does not answer: {reason}") from error

    def _refused(self, path: str, error: urllib.error.HTTPError) -> None:
        if error.code == 404:
            if _is_answer(error.read(_MOST_BYTES)):
                return
            raise self._final(f"there is no registry at that path: {path} is not found")
        if error.code in {401, 403}:
            raise self._final(f"it does not let this client in ({error.code} {error.reason})")
        if 300 <= error.code < 400:
            raise self._final(
                f"it sends on to {error.headers.get('Location')}; give the address of the registry itself"
            )
        raise SchemaRegistryAwayError(
            f"the schema registry {self._url} answers {path} with {error.code} {error.reason}"
        )

    def _final(self, why: str) -> SourceError:
        return SourceError(
            f"the schema registry {self._url}: {why}. Nothing is lost; correct source.kafka.registry, and start again."
        )


def _is_answer(body: bytes) -> bool:
    """Whether a 404 comes from the registry, and not from a web server without one."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("error_code") in _NOT_FOUND
