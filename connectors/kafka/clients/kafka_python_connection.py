"""How kafka-python connects, and what its errors mean."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConfigurationError,
    LogTruncationError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.net.selector import NetworkSelector

from learnd.connectors.kafka.clients.contract import CONNECT_S, RECONNECT_S, REQUEST_S
from learnd.connectors.kafka.clients.failures import LAST_COMPLAINT, RefusedError, TruncatedError
from learnd.connectors.kafka.connection import KafkaConnection
from learnd.connectors.kafka.partition_names import join_name

_REFUSALS = (
    AuthorizationError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
_TLS_REFUSAL = re.compile(r"SSL: \w*(CERTIFICATE|ALERT)")  # one side does not accept the certificate of the other


def kafka_python_options(settings: KafkaConnection) -> dict[str, Any]:
    """Return the options of a connection of any kind."""
    _quieten()
    options: dict[str, Any] = {
        "kafka_client": _Client,
        "bootstrap_servers": settings.servers,
        "client_id": "learnd",
        "bootstrap_timeout_ms": round(CONNECT_S * 1000),
        "request_timeout_ms": round(REQUEST_S * 1000),
        "reconnect_backoff_max_ms": round(RECONNECT_S * 1000),
        "metadata_max_age_ms": 30_000,
    }
    tls, sasl = settings.tls, settings.sasl
    options["security_protocol"] = settings.security_protocol
    if tls is not None:
        options |= {
            "ssl_check_hostname": tls.check_hostname,
            "ssl_cafile": tls.ca and str(tls.ca),
            "ssl_certfile": tls.certificate and str(tls.certificate),
            "ssl_keyfile": tls.key and str(tls.key),
            "ssl_password": tls.key_password and tls.key_password.get_secret_value(),
        }
    if sasl is not None:
        options["sasl_mechanism"] = sasl.mechanism
        if sasl.token_path is not None:
            options["sasl_oauth_token_provider"] = _TokenFile(sasl.token_path)
        elif sasl.password is not None:
            options |= {"sasl_plain_username": sasl.username, "sasl_plain_password": sasl.password.get_secret_value()}
    return options


@contextmanager
def refusals() -> Iterator[None]:
    """Turn the errors of kafka-python that waiting does not fix into RefusedError."""
    try:
        yield
    except Exception as error:
        if _is_refusal(error):
            raise RefusedError(f"{type(error).__name__.removesuffix('Error')}: {error}") from error
        raise


@contextmanager
def truncations() -> Iterator[None]:
    """Turn kafka-python's LogTruncationError into TruncatedError."""
    try:
        yield
    except LogTruncationError as error:
        kept = {join_name(*partition): at for partition, at in error.divergent_offsets.items()}
        raise TruncatedError(
            {name: f"from offset {at.offset} on" if at else "" for name, at in kept.items()}
        ) from error


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, _REFUSALS) or _TLS_REFUSAL.search(str(error)) is not None


class _Client(KafkaNetClient):  # type: ignore[misc]  # kafka-python is untyped
    """kafka-python's client, with connections that report a refusal at once."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net, _Connections(net, **configs))


class _Connections(KafkaConnectionManager):  # type: ignore[misc]
    """kafka-python itself retries a refused first connection until the time is up, and then reports only the time."""

    async def _connect(self, node: Any, conn: Any, **options: Any) -> None:
        await super()._connect(node, conn, **options)
        error = conn.init_future.exception if conn.init_future.failed() else None
        if error is not None and self.cluster.is_bootstrap(node.node_id) and _is_refusal(error):
            self._auth_failures[node.node_id] = error  # the next attempt raises it

    async def _build_transport(self, *arguments: Any, **options: Any) -> Any:
        """Have the last data before the end of a connection read: it says why it ended, and kafka-python drops it."""
        transport = await super()._build_transport(*arguments, **options)
        receive = transport._sock_recv  # noqa: SLF001  (there is no public way)

        def received() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error  # the next call finds the end again

        transport._sock_recv = received  # noqa: SLF001
        return transport


class _KeepsLast(logging.Handler):
    """Keeps the last warning of kafka-python."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        LAST_COMPLAINT.text = record.getMessage()


_keeps_last = _KeepsLast()


def _quieten() -> None:
    """Keep kafka-python's own lines out of the log: it repeats them many times a second while a broker is away.

    Its lines below the level of warnings would hold passwords.
    """
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_keeps_last]


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python is untyped
    """Reads the token again for each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self) -> str:
        return self._path.read_text(encoding="ascii").strip()
