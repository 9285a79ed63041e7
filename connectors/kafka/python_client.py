"""kafka-python as a client."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    KafkaConfigurationError,
    KafkaError,
    LogTruncationError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
    for_code,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl.oauth import AbstractTokenProvider
from kafka.net.selector import NetworkSelector

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
from learnd.connectors.kafka.fetches_by_id import FetchesById
from learnd.connectors.kafka.settings import KafkaConnection
from learnd.connectors.kafka.starts import join_name, split_name
from learnd.connectors.kafka.trouble import TROUBLE
from learnd.daemon.values import Positions

_CONNECT_MS = 5_000
_REQUEST_MS = 15_000
_MOST_BYTES = 16 << 20  # of a fetch
_FETCH_WAIT_MS = 50  # how long a partition's new records may wait for a fetch of others that is on its way
_RECONNECT_MS = 2_000
_REFUSALS = (
    AuthorizationError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
_TLS_REFUSAL = re.compile(r"SSL: \w*(CERTIFICATE|ALERT)")  # a certificate that one of the two does not accept


class PythonReading:
    """A `Reading` by kafka-python."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaError where no broker answers in time."""
        with _refusals():
            self._consumer = KafkaConsumer(
                **connection_options(settings),
                fetch_max_bytes=_MOST_BYTES,
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                max_poll_records=POLL_RECORDS,
                isolation_level="read_committed",
                auto_offset_reset="none",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                check_crcs=True,
                metrics_enabled=False,
            )
        # kafka-python 3.0.12 does not pass that setting on: a topic that is deleted would come into being again.
        self._consumer._cluster.config["allow_auto_create_topics"] = False  # noqa: SLF001
        self._fetches = FetchesById(self._consumer._fetcher)  # noqa: SLF001

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:
        self._fetches.know(ids)
        partitions = _named(positions)
        self._consumer.assign(list(partitions.values()))
        assigned = self._consumer._subscription.assignment  # noqa: SLF001  (the `seek` of 3.0.12 takes no epoch)
        for name, partition in partitions.items():
            assigned[partition].seek(OffsetAndMetadata(positions[name], "", epochs.get(name, -1)))

    def poll(self, timeout_s: float) -> list[Fetched]:
        try:
            with _refusals(), _truncations():
                polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
                self._fetches.raise_for_missing()
        except OffsetOutOfRangeError as error:
            raise OutOfRangeError(str(error)) from error
        except (RefusedError, TruncatedError, OSError):
            raise
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordError):
                raise
            raise CorruptError(f"{type(error).__name__}: {error}") from error
        return [_fetched(partition, records) for partition, records in polled.items()]

    def beginnings(self, partitions: Iterable[str]) -> Positions:
        return _positions(self._consumer.beginning_offsets(list(_named(partitions).values())))

    def ends(self, partitions: Iterable[str]) -> Positions:
        return _positions(self._consumer.end_offsets(list(_named(partitions).values())))

    def since(self, partitions: Iterable[str], timestamp_ms: int) -> Positions:
        found = self._consumer.offsets_for_times(dict.fromkeys(_named(partitions).values(), timestamp_ms))
        return {
            join_name(*partition): at.offset for partition, at in found.items() if at is not None and at.offset >= 0
        }

    def reached(self, partition: str) -> tuple[int, int] | None:
        one = _partition(partition)
        with _truncations():  # it looks for them, too
            position = self._consumer.position(one, timeout_ms=0)
        end = self._consumer.highwater(one)
        return None if position is None or end is None else (position, end)

    def close(self) -> None:
        self._consumer.unsubscribe()  # ends a poll that spins over records of a partition
        self._consumer.close(autocommit=False, timeout_ms=1000)


class PythonWriting:
    """A `Writing` by kafka-python."""

    def __init__(self, settings: KafkaConnection, topic: str) -> None:
        """Connect. Raises RefusedError, or KafkaError where no broker answers in time."""
        self._topic = topic
        with _refusals():
            self._producer = KafkaProducer(
                **connection_options(settings),
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                max_block_ms=_REQUEST_MS,
                max_request_size=_MOST_BYTES,
                delivery_timeout_ms=2 * _REQUEST_MS,
                metrics_enabled=False,
            )
        self._producer._metadata.config["allow_auto_create_topics"] = False  # noqa: SLF001  (see PythonReading)

    def deliver(self, messages: Sequence[Message]) -> None:
        with _refusals():
            sent = [self._send(index, message) for index, message in enumerate(messages)]
            deadline = time.monotonic() + 2 * _REQUEST_MS / 1000
            for future in sent:
                try:
                    future.get(timeout=max(deadline - time.monotonic(), 0.001))
                except MessageSizeTooLargeError as error:  # of one of those that were sent in the same batch
                    refused = [n for n, one in enumerate(sent) if isinstance(one.exception, MessageSizeTooLargeError)]
                    raise TooLargeError(max(refused, key=lambda index: messages[index].size)) from error

    def _send(self, index: int, message: Message) -> Any:
        try:
            return self._producer.send(
                self._topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                timestamp_ms=message.timestamp_ms,
            )
        except MessageSizeTooLargeError as error:
            raise TooLargeError(index) from error

    def close(self) -> None:
        self._producer.close(timeout=1)


class PythonAsking:
    """An `Asking` by kafka-python."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaError where no broker answers in time."""
        with _refusals():
            self._admin = KafkaAdminClient(**connection_options(settings))

    def topics(self, names: Sequence[str] | None) -> dict[str, Topic]:
        with _refusals():
            described = self._admin.describe_topics(None if names is None else list(names))
            found = {}
            for topic in described:
                error = for_code(topic["error_code"])
                if issubclass(error, AuthorizationError):
                    raise error(topic["name"])
                if topic["error_code"] == 0 and (names is not None or not topic["is_internal"]):
                    found[topic["name"]] = Topic(str(topic["topic_id"] or ""), len(topic["partitions"]))
        return found

    def commit(self, group: str, positions: Positions) -> None:
        offsets = {_partition(name): OffsetAndMetadata(offset, "", -1) for name, offset in positions.items()}
        for error in self._admin.alter_group_offsets(group, offsets).values():
            if error.errno:
                raise error

    def close(self) -> None:
        self._admin.close()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn the errors of kafka-python that no waiting mends into RefusedError."""
    try:
        yield
    except Exception as error:
        if _is_refusal(error):
            raise RefusedError(f"{type(error).__name__.removesuffix('Error')}: {error}") from error
        raise


@contextmanager
def _truncations() -> Iterator[None]:
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
    """kafka-python's connections, told at once when the brokers refuse the first of them."""

    def __init__(self, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net, _Connections(net, **configs))


class _Connections(KafkaConnectionManager):  # type: ignore[misc]
    """By itself, version 3.0.12 tries for as long as it may to connect, and tells of the time alone."""

    async def _connect(self, node: Any, conn: Any, **options: Any) -> None:
        await super()._connect(node, conn, **options)
        error = conn.init_future.exception if conn.init_future.failed() else None
        if error is not None and self.cluster.is_bootstrap(node.node_id) and _is_refusal(error):
            self._auth_failures[node.node_id] = error  # what the next attempt raises

    async def _build_transport(self, *arguments: Any, **options: Any) -> Any:
        """Have the data read that comes right before the end: the reason for it, which 3.0.12 drops."""
        transport = await super()._build_transport(*arguments, **options)
        receive = transport._sock_recv  # noqa: SLF001  (it has no other way)

        def received() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error  # the end is there to be found again

        transport._sock_recv = received  # noqa: SLF001
        return transport


class _Complaints(logging.Handler):
    """Keeps what kafka-python last complained about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        TROUBLE.text = record.getMessage()


_complaints = _Complaints()


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python is untyped
    """Reads the token anew for each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self) -> str:
        return self._path.read_text(encoding="ascii").strip()


def connection_options(settings: KafkaConnection) -> dict[str, Any]:
    """Return the options that a connection of any kind takes."""
    _quieten()
    options: dict[str, Any] = {
        "kafka_client": _Client,
        "bootstrap_servers": settings.servers,
        "client_id": "learnd",
        "bootstrap_timeout_ms": _CONNECT_MS,
        "request_timeout_ms": _REQUEST_MS,
        "reconnect_backoff_max_ms": _RECONNECT_MS,
        "metadata_max_age_ms": 30_000,
    }
    tls, sasl = settings.tls, settings.sasl
    options["security_protocol"] = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    if tls is not None:
        options |= {
            "ssl_check_hostname": tls.check_hostname,
            "ssl_cafile": _text(tls.ca),
            "ssl_certfile": _text(tls.certificate),
            "ssl_keyfile": _text(tls.key),
            "ssl_password": tls.key_password and tls.key_password.get_secret_value(),
        }
    if sasl is not None:
        options["sasl_mechanism"] = sasl.mechanism
        if sasl.token_path is not None:
            options["sasl_oauth_token_provider"] = _TokenFile(sasl.token_path)
        elif sasl.password is not None:
            options |= {"sasl_plain_username": sasl.username, "sasl_plain_password": sasl.password.get_secret_value()}
    return options


def _quieten() -> None:
    """Keep kafka-python's own lines out of the log: it repeats them many times a second while a broker is away.

    Below warnings it would write passwords, too.
    """
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [_complaints]


def _fetched(partition: TopicPartition, records: list[Any]) -> Fetched:
    headers = [record.headers for record in records]
    return Fetched(
        join_name(*partition),
        np.array([record.offset for record in records], np.int64),
        [record.value for record in records],
        [record.key for record in records],
        [[(name, value or b"") for name, value in given or ()] for given in headers] if any(headers) else None,
        np.array([record.timestamp for record in records], np.int64),
        [record.leader_epoch for record in records],
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _partition(name: str) -> TopicPartition:
    return TopicPartition(*split_name(name))


def _named(names: Iterable[str]) -> dict[str, TopicPartition]:
    return {name: _partition(name) for name in names}


def _positions(offsets: Mapping[TopicPartition, int]) -> Positions:
    return {join_name(*partition): offset for partition, offset in offsets.items()}
