"""Checks that the private functions of kafka-python that are replaced here are the ones this code was written for.

Its public interface does not let a consumer fetch by topic id, seek with a leader epoch, or learn of a refusal at once.
Another version may change these functions in a way that shows only as lost or repeated records.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import kafka
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import TopicPartitionState
from kafka.net.manager import KafkaConnectionManager
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from learnd.daemon.errors import SourceError

INTERNALS: Mapping[Callable[..., Any], str] = {
    Fetcher._create_fetch_requests: "4399843be7e40180",  # noqa: SLF001
    Fetcher._handle_fetch_response: "8d8210236fb71cfc",  # noqa: SLF001
    TopicPartitionState.seek: "d1a2f98d60f55c3e",
    KafkaConnectionManager._build_transport: "0362b0a783871097",  # noqa: SLF001
    KafkaConnectionManager._connect: "866ba191c36e23f8",  # noqa: SLF001
    KafkaTCPTransport._sock_recv: "2594a6a62ec5a3e5",  # noqa: SLF001
    KafkaSSLTransport._sock_recv: "0a592f230c5c4455",  # noqa: SLF001
}
"""Each function that is replaced or called although it is private, with the beginning of the SHA-256 of its source."""


def fingerprint(function: Callable[..., Any]) -> str:
    """Return the first 16 digits of the SHA-256 of a function's source; an empty text if it is not installed."""
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
    except OSError:
        return ""


@cache
def check_internals() -> None:
    """Raise SourceError if one of the functions is not the one that this code was written for."""
    changed = [function.__qualname__ for function, known in INTERNALS.items() if fingerprint(function) != known]
    if changed:
        raise SourceError(
            f"kafka-python {kafka.__version__}: {', '.join(changed)} differs from version 3.0.12, and learnd replaces "
            "it: records could be lost or trained twice. Nothing was read. Install kafka-python==3.0.12, or set "
            "source.kafka.client: confluent."
        )
