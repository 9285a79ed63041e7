"""How confluent-kafka connects, and what its errors mean."""

from __future__ import annotations

import re
import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from learnd.connectors.kafka.clients import failures
from learnd.connectors.kafka.clients.contract import CONNECT_S, RECONNECT_S, REQUEST_S
from learnd.connectors.kafka.connection import KafkaConnection

_TOKEN_S = 300.0  # then the file is read again
_CORRUPT = {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError.INVALID_MSG}  # noqa: SLF001  (its names)
_OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001
_REFUSALS = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError._INVALID_ARG,  # noqa: SLF001
    KafkaError._UNSUPPORTED_FEATURE,  # noqa: SLF001
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
}
_TLS_REFUSAL = re.compile(r"certificate|alert|hostname|key values mismatch", re.IGNORECASE)


class ConfluentComplaints:
    """What librdkafka reports beside its answers. It calls this while the client is polled."""

    def __init__(self) -> None:
        self.refusal: str | None = None

    def __call__(self, error: KafkaError) -> None:
        failures.LAST_COMPLAINT.text = error.str()
        if _is_refusal(error):
            self.refusal = error.str()

    def check(self) -> None:
        """Raise RefusedError if one of the reports was a refusal."""
        if self.refusal is not None:
            raise failures.RefusedError(self.refusal)


def confluent_options(settings: KafkaConnection) -> dict[str, Any]:
    """Return the options of a connection of any kind."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.servers),
        "client.id": "learnd",
        "socket.timeout.ms": round(REQUEST_S * 1000),
        "socket.connection.setup.timeout.ms": round(CONNECT_S * 1000),
        "reconnect.backoff.max.ms": round(RECONNECT_S * 1000),
        "log_level": 0,  # what matters comes by error_cb
    }
    tls, sasl = settings.tls, settings.sasl
    options["security.protocol"] = settings.security_protocol
    if tls is not None:
        given = {
            "ssl.ca.location": tls.ca and str(tls.ca),
            "ssl.certificate.location": tls.certificate and str(tls.certificate),
            "ssl.key.location": tls.key and str(tls.key),
            "ssl.key.password": tls.key_password and tls.key_password.get_secret_value(),
            "ssl.endpoint.identification.algorithm": "https" if tls.check_hostname else "none",
        }
        options |= {name: value for name, value in given.items() if value is not None}
    if sasl is not None:
        options["sasl.mechanism"] = sasl.mechanism
        if sasl.token_path is not None:
            path = sasl.token_path
            options["oauth_cb"] = lambda _config: (path.read_text(encoding="ascii").strip(), time.time() + _TOKEN_S)
        elif sasl.password is not None:
            options |= {"sasl.username": sasl.username, "sasl.password": sasl.password.get_secret_value()}
    return options


def translated(error: KafkaException) -> Exception:
    """Return the error of `failures` that an error of confluent-kafka stands for, or else the error itself."""
    inner = error.args[0]
    failures.LAST_COMPLAINT.text = inner.str()
    if _is_refusal(inner):
        return failures.RefusedError(f"{inner.name()}: {inner.str()}")
    if inner.code() in _OUT_OF_RANGE:
        return failures.OutOfRangeError(inner.str())
    if inner.code() in _CORRUPT:
        return failures.CorruptError(inner.str())
    return error


def _is_refusal(error: KafkaError) -> bool:
    of_tls = error.code() == KafkaError._SSL or "SSL routines" in error.str()  # noqa: SLF001
    return error.code() in _REFUSALS or (of_tls and _TLS_REFUSAL.search(error.str()) is not None)
