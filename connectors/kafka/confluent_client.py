"""confluent-kafka as a client: several times as quick as kafka-python, since librdkafka parses records in C."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from learnd.connectors.kafka.client import (
    POLL_RECORDS,
    CorruptError,
    Fetched,
    Message,
    OutOfRangeError,
    RefusedError,
    TooLargeError,
    Topic,
    TruncatedError,
)
from learnd.connectors.kafka.settings import KafkaConnection, KafkaSettings
from learnd.connectors.kafka.starts import join_name, split_name
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.daemon.values import Positions

_CONNECT_S = 5.0
_REQUEST_S = 15.0
_DELIVERY_S = 30.0
_MOST_BYTES = 16 << 20  # of a fetch
_WAITING_KIB = 16 << 10  # fetched and not polled yet
_FULL_MS = 10  # how long no more is fetched once so much waits: with librdkafka's second, a quick reader runs dry
_FETCH_WAIT_MS = 50  # how long a partition's new records may wait for a fetch of others that is on its way
_TOKEN_S = 300.0  # after which the file is read again
_CLOSE_S = 5.0
_EFFECT_S = 0.005
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


class _Complaints:
    """What librdkafka says beside its answers; it is heard when the client is polled."""

    def __init__(self) -> None:
        self.refusal: str | None = None

    def __call__(self, error: KafkaError) -> None:
        TROUBLE.text = error.str()
        if _refuses(error):
            self.refusal = error.str()

    def check(self) -> None:
        """Raise RefusedError where one of them was a refusal."""
        if self.refusal is not None:
            raise RefusedError(self.refusal)


class ConfluentReading:
    """A `Reading` by confluent-kafka."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect. Raises RefusedError, or KafkaException where no broker answers in time."""
        self._complaints = _Complaints()
        self._consumer = Consumer(
            {
                **connection_options(settings),
                "error_cb": self._complaints,
                "group.id": settings.group or "learnd",  # it asks for one; this consumer neither joins nor commits
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "check.crcs": True,
                "fetch.max.bytes": _MOST_BYTES,
                "fetch.wait.max.ms": _FETCH_WAIT_MS,
                "queued.max.messages.kbytes": _WAITING_KIB,
                "fetch.queue.backoff.ms": _FULL_MS,
            }
        )
        self._busy = threading.Lock()
        self._reached: Positions = {}
        self._failed: Exception | None = None  # raised once what came before it was handed out
        try:
            self._consumer.list_topics(timeout=_CONNECT_S)
        except KafkaException as error:
            self._consumer.poll(0)
            self._consumer.close()
            self._complaints.check()
            raise _translated(error) from error

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:  # noqa: ARG002
        self._reached = dict(positions)
        self._consumer.assign([_partition(name, offset) for name, offset in positions.items()])
        for name, epoch in epochs.items():  # an assignment takes an epoch as well, and does not look at it
            self._seek(_partition(name, positions[name], epoch))

    def poll(self, timeout_s: float) -> list[Fetched]:
        if self._failed is not None:
            raise self._failed
        with self._busy:
            messages = self._messages(timeout_s)
        self._complaints.check()
        groups: dict[tuple[str, int], list[Any]] = {}
        for message in messages:
            if message.error() is None:
                groups.setdefault((message.topic(), message.partition()), []).append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                self._reach(join_name(message.topic(), message.partition()), message.offset())
            elif message.error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # it asks for the group's coordinator, of which nothing here makes use
            else:  # what comes behind it must not be taken: it may follow a gap
                self._failed = self._failure(message)
                break
        if self._failed is not None and not groups:
            raise self._failed
        found = [_fetched(join_name(*partition), group) for partition, group in groups.items()]
        for some in found:
            self._reach(some.partition, int(some.offsets[-1]) + 1)
        return found

    def beginnings(self, partitions: Iterable[str]) -> Positions:
        return self._offsets(partitions, OFFSET_BEGINNING)

    def ends(self, partitions: Iterable[str]) -> Positions:
        return self._offsets(partitions, OFFSET_END)

    def since(self, partitions: Iterable[str], timestamp_ms: int) -> Positions:
        return {name: offset for name, offset in self._offsets(partitions, timestamp_ms).items() if offset >= 0}

    def reached(self, partition: str) -> tuple[int, int] | None:
        marks = self._consumer.get_watermark_offsets(_partition(partition), cached=True)
        if marks is None or marks[1] < 0 or partition not in self._reached:
            return None
        return self._reached[partition], max(marks[1], self._reached[partition])

    def close(self) -> None:
        if self._busy.acquire(timeout=_CLOSE_S):  # a client that hangs is left alone: to close it would not be safe
            self._consumer.close()
            self._busy.release()

    def _messages(self, timeout_s: float) -> list[Any]:
        """Return what is there, or wait for the first: `consume` would wait for as many as it is asked for."""
        first = self._consumer.poll(timeout_s)
        return [] if first is None else [first, *self._consumer.consume(POLL_RECORDS - 1, 0)]

    def _seek(self, partition: TopicPartition) -> None:
        """Go to a position, once the assignment of its partition has taken effect."""
        deadline = time.monotonic() + _REQUEST_S
        while True:
            try:
                return self._consumer.seek(partition)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > deadline:  # noqa: SLF001
                    raise
            time.sleep(_EFFECT_S)

    def _offsets(self, partitions: Iterable[str], at: int) -> Positions:
        """Return where a time is in partitions, or OFFSET_BEGINNING or OFFSET_END: asked of each broker once."""
        wanted = [_partition(name, at) for name in partitions]
        try:
            found = self._consumer.offsets_for_times(wanted, timeout=_REQUEST_S) if wanted else []
        except KafkaException as error:
            raise _translated(error) from error
        for one in found:
            if one.error is not None:
                raise _translated(KafkaException(one.error))
        return {join_name(one.topic, one.partition): int(one.offset) for one in found}

    def _failure(self, message: Any) -> Exception:
        error = message.error()
        if "log truncation" in error.str():  # by its code it is a position out of range
            return TruncatedError({join_name(message.topic(), message.partition()): f"({error.str()})"})
        return _translated(KafkaException(error))

    def _reach(self, name: str, offset: int) -> None:
        """Remember how far it got: the end of a partition is behind its last record, and marks of transactions."""
        self._reached[name] = max(self._reached.get(name, 0), offset)


class ConfluentAsking:
    """An `Asking` by confluent-kafka."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaException where no broker answers in time."""
        self._complaints = _Complaints()
        options: dict[str, Any] = {**connection_options(settings), "error_cb": self._complaints}
        self._admin = AdminClient(options)
        self._answer(lambda: self._admin.list_topics(timeout=_CONNECT_S))

    def topics(self, names: Sequence[str] | None) -> dict[str, Topic]:
        wanted = self._all() if names is None else list(names)
        if not wanted:
            return {}
        found = {}
        asked = self._admin.describe_topics(TopicCollection(wanted), request_timeout=_REQUEST_S)
        for name, future in asked.items():
            described = self._answer(future.result)
            if described is not None and (names is not None or not described.is_internal):
                found[name] = Topic(_uuid(described.topic_id), len(described.partitions))
        return found

    def commit(self, group: str, positions: Positions) -> None:
        offsets = [_partition(name, offset) for name, offset in positions.items()]
        (future,) = self._admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=_REQUEST_S
        ).values()
        for partition in future.result().topic_partitions:
            if partition.error is not None:
                raise KafkaException(partition.error)

    def close(self) -> None:
        """Leave it to the garbage collector, which ends its threads."""

    def _all(self) -> list[str]:
        return list(self._answer(lambda: self._admin.list_topics(timeout=_REQUEST_S)).topics)

    def _answer(self, ask: Any) -> Any:
        """Return an answer; None where a topic is not there. Raises RefusedError, KafkaException."""
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
                return None
            self._admin.poll(0)
            self._complaints.check()
            raise _translated(error) from error


class ConfluentWriting:
    """A `Writing` by confluent-kafka."""

    def __init__(self, settings: KafkaConnection, topic: str) -> None:
        """Connect. Raises RefusedError, or KafkaException where no broker answers in time."""
        self._topic = topic
        self._complaints = _Complaints()
        self._producer = Producer(
            {
                **connection_options(settings),
                "error_cb": self._complaints,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": _MOST_BYTES,
                "message.timeout.ms": round(_DELIVERY_S * 1000),
            }
        )
        try:
            self._producer.list_topics(topic, timeout=_CONNECT_S)
        except KafkaException as error:
            self._producer.poll(0)
            self._complaints.check()
            raise _translated(error) from error

    def deliver(self, messages: Sequence[Message]) -> None:
        failed: dict[int, KafkaError] = {}
        for index, message in enumerate(messages):

            def done(error: KafkaError | None, _message: object, index: int = index) -> None:
                if error is not None:
                    failed[index] = error

            at: dict[str, Any] = {} if message.timestamp_ms is None else {"timestamp": message.timestamp_ms}
            try:
                self._producer.produce(
                    self._topic, message.value, message.key, headers=list(message.headers), on_delivery=done, **at
                )
            except KafkaException as refusal:
                failed[index] = refusal.args[0]
        left = self._producer.flush(_DELIVERY_S)
        self._complaints.check()
        too_large = [index for index, error in failed.items() if error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
        if too_large:  # by itself, or with others that were sent in the same batch
            raise TooLargeError(max(too_large, key=lambda index: messages[index].size))
        if failed:
            raise _translated(KafkaException(failed[min(failed)]))
        if left:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{left} messages were not delivered"))  # noqa: SLF001

    def close(self) -> None:
        """Drop what is not delivered."""
        self._producer.purge()
        self._producer.flush(0)


def connection_options(settings: KafkaConnection) -> dict[str, Any]:
    """Return the options that a connection of any kind takes."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.servers),
        "client.id": "learnd",
        "socket.timeout.ms": round(_REQUEST_S * 1000),
        "socket.connection.setup.timeout.ms": round(_CONNECT_S * 1000),
        "reconnect.backoff.max.ms": 2000,
        "log_level": 0,  # what matters comes by error_cb
    }
    tls, sasl = settings.tls, settings.sasl
    options["security.protocol"] = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        given = {
            "ssl.ca.location": _text(tls.ca),
            "ssl.certificate.location": _text(tls.certificate),
            "ssl.key.location": _text(tls.key),
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


def _refuses(error: KafkaError) -> bool:
    of_tls = error.code() == KafkaError._SSL or "SSL routines" in error.str()  # noqa: SLF001
    return error.code() in _REFUSALS or (of_tls and _TLS_REFUSAL.search(error.str()) is not None)


def _translated(error: KafkaException) -> Exception:
    """Return what the protocols have for an error."""
    inner = error.args[0]
    TROUBLE.text = inner.str()
    if _refuses(inner):
        return RefusedError(f"{inner.name()}: {inner.str()}")
    if inner.code() in _OUT_OF_RANGE:
        return OutOfRangeError(inner.str())
    if inner.code() in _CORRUPT:
        return CorruptError(inner.str())
    return error


def _fetched(partition: str, messages: list[Any]) -> Fetched:
    headers = [message.headers() for message in messages]
    times = [message.timestamp() for message in messages]
    epochs = [message.leader_epoch() for message in messages]
    return Fetched(
        partition,
        np.array([message.offset() for message in messages], np.int64),
        [message.value() for message in messages],
        [message.key() for message in messages],
        [[(name, value or b"") for name, value in given or ()] for given in headers] if any(headers) else None,
        np.array([time_ms if kind else -1 for kind, time_ms in times], np.int64),
        [-1 if epoch is None else epoch for epoch in epochs],
    )


def _uuid(topic_id: Any) -> str:
    """Return a topic's id as kafka-python writes it; empty where brokers are too old to give one."""
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return str(uuid.UUID(int=((high & (2**64 - 1)) << 64) | (low & (2**64 - 1)))) if high or low else ""


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _partition(name: str, offset: int = -1001, epoch: int = -1) -> TopicPartition:
    topic, number = split_name(name)
    return TopicPartition(topic, number, offset, leader_epoch=epoch)
