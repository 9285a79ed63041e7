"""Checks that the private functions of kafka-python that are replaced here are the ones this code was written for.

Its public interface does not let a consumer fetch by topic id, seek with a leader epoch, or learn of a refusal at once.
Another version may change these functions in a way that shows only as lost or repeated records.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from operator import attrgetter

import kafka

from learnd.daemon.errors import SourceError

INTERNALS: Mapping[str, str] = {
    "kafka.consumer.fetcher:Fetcher._create_fetch_requests": "4399843be7e40180",
    "kafka.consumer.fetcher:Fetcher._handle_fetch_response": "8d8210236fb71cfc",
    "kafka.consumer.subscription_state:TopicPartitionState.seek": "d1a2f98d60f55c3e",
    "kafka.net.manager:KafkaConnectionManager._build_transport": "0362b0a783871097",
    "kafka.net.manager:KafkaConnectionManager._connect": "866ba191c36e23f8",
    "kafka.net.transport:KafkaTCPTransport._sock_recv": "2594a6a62ec5a3e5",
    "kafka.net.transport:KafkaSSLTransport._sock_recv": "0a592f230c5c4455",
}
"""Each function that is replaced, or called although it is private, with the beginning of the SHA-256 of its source."""


def fingerprint(reference: str) -> str | None:
    """Return the first 16 digits of the SHA-256 of a function's source; None if the function is not there."""
    module, _, name = reference.partition(":")
    try:
        source = inspect.getsource(attrgetter(name)(importlib.import_module(module)))
    except (ImportError, AttributeError, OSError):
        return None
    return hashlib.sha256(source.encode()).hexdigest()[:16]


@cache
def check_internals() -> None:
    """Raise SourceError if one of the functions is not the one that this code was written for."""
    changed = [reference for reference, known in INTERNALS.items() if fingerprint(reference) != known]
    if changed:
        raise SourceError(
            f"kafka-python {kafka.__version__}: {', '.join(changed)} differs from version 3.0.12, and learnd replaces "
            "it: records could be lost or trained twice. Nothing was read. Install kafka-python==3.0.12, or set "
            "source.kafka.client: confluent."
        )
