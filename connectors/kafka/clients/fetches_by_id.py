"""Makes kafka-python fetch by topic id (KIP-516): a topic that is deleted and created again has another id."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from kafka.errors import InconsistentTopicIdError, UnknownTopicIdError

_BY_ID = 13  # the first version of fetch requests with topic ids; brokers ignore them in earlier ones
_MISSING_S = 1.0  # a broker that has not heard of a new topic yet gives the same error
_MISSING = (UnknownTopicIdError.errno, InconsistentTopicIdError.errno)


class FetchesById:
    """Wraps the making of fetch requests and the handling of their responses: kafka-python itself uses names only.

    Brokers before Kafka 3.1 are asked by name.
    """

    def __init__(self, fetcher: Any) -> None:
        self._requests = fetcher._create_fetch_requests  # noqa: SLF001
        self._handle = fetcher._handle_fetch_response  # noqa: SLF001
        fetcher._create_fetch_requests = self._requests_by_id  # noqa: SLF001
        fetcher._handle_fetch_response = self._handle_by_name  # noqa: SLF001
        self._ids: dict[str, uuid.UUID] = {}
        self._names: dict[uuid.UUID, str] = {}
        self._missing_s: dict[int, dict[str, float]] = {}  # node to topic to when the node first reported it missing

    def know(self, ids: Mapping[str, str]) -> None:
        """Fetch topics by these ids; by name if one is unknown, since a fetch session uses either ids or names."""
        self._ids = {topic: uuid.UUID(text) for topic, text in ids.items()} if all(ids.values()) else {}
        self._names |= {topic_id: topic for topic, topic_id in self._ids.items()}

    def raise_for_missing(self) -> None:
        """Raise UnknownTopicIdError if a broker has missed a topic for so long that it is not new, but gone."""
        said = [item for of_node in self._missing_s.values() for item in of_node.items()]
        missing = {topic for topic, since_s in said if since_s < time.monotonic() - _MISSING_S}
        if missing:
            raise UnknownTopicIdError(f"brokers no longer have {', '.join(sorted(missing))} by the id that was read")

    def _requests_by_id(self) -> dict[int, tuple[Any, Any]]:
        requests: dict[int, tuple[Any, Any]] = self._requests()
        for request, _ in requests.values() if self._ids else ():
            for topic in (*request.topics, *request.forgotten_topics_data):
                topic.topic_id = self._ids[topic.topic]
            request._max_version = _BY_ID  # noqa: SLF001
        return requests

    def _handle_by_name(self, node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
        if response.API_VERSION >= _BY_ID:
            for topic in response.responses:
                topic.topic = self._names[topic.topic_id]
            self._note_missing(node_id, response.responses)
        self._handle(node_id, fetch_offsets, send_time, response)

    def _note_missing(self, node_id: int, topics: Any) -> None:
        before, now_s = self._missing_s.get(node_id, {}), time.monotonic()
        self._missing_s[node_id] = {
            topic.topic: before.get(topic.topic, now_s)
            for topic in topics
            if any(partition.error_code in _MISSING for partition in topic.partitions)
        }
