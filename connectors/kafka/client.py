"""What the source needs of a Kafka client, and that of kafka-python.

Each call blocks for a bounded time, as far as the client keeps its word; whoever calls watches from outside. After
any error the connection is closed and made anew: a client may spin for ever in the call that follows one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
    for_code,
)
from kafka.net.sasl.oauth import AbstractTokenProvider

from connectors.kafka.starts import join_name, split_name
from connectors.settings import KafkaSettings
from daemon.values import Int64, Positions

POLL_RECORDS = 1000
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


class RefusedError(Exception):
    """Raised when the brokers do not let this client do what it has to: its name, its rights, its settings."""


class OutOfRangeError(Exception):
    """Raised when a partition does not hold the position that is read from."""


class CorruptError(Exception):
    """Raised when records cannot be read, for a wrong checksum for one: by the network, or for good."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. A topic that is deleted and made again has another id; empty: an old broker has none."""

    id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """n >= 1 records of a partition that follow each other."""

    partition: str
    offsets: Int64  # (n,)
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: list[Sequence[tuple[str, bytes]]] | None
    timestamps_ms: Int64  # (n,) negative where unknown


class Reading(Protocol):
    """A connection that records come from. For one thread, but for `close`."""

    def assign(self, positions: Positions) -> None:
        """Read these partitions, from these positions, and no others."""

    def poll(self, timeout_s: float) -> list[Fetched]:
        """Return the next records; an empty list where there are none in time.

        Raises OutOfRangeError, CorruptError, RefusedError, or another error where the connection is of no more use.
        """

    def beginnings(self, partitions: Iterable[str]) -> Positions:
        """Return the oldest offset of each partition."""

    def ends(self, partitions: Iterable[str]) -> Positions:
        """Return the offset after the newest record of each partition that is committed."""

    def since(self, partitions: Iterable[str], timestamp_ms: int) -> Positions:
        """Return the offset of the first record that is not older; partitions without one are left out."""

    def reached(self, partition: str) -> tuple[int, int] | None:
        """Return the offset to be fetched next and the one after the newest record; None where that is unknown."""

    def close(self) -> None:
        """Break everything off, from any thread. May raise."""


class Asking(Protocol):
    """A connection to ask about topics. For one thread, but for `close`."""

    def topics(self, names: Sequence[str] | None) -> dict[str, Topic]:
        """Return those of the named topics that there are; None: all but internal ones. Raises RefusedError."""

    def commit(self, group: str, positions: Positions) -> None:
        """Show these positions as those of a consumer group."""

    def close(self) -> None: ...


class PythonReading:
    """A `Reading` by kafka-python."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect. Raises RefusedError, or KafkaError where no broker answers in time."""
        with _refusals():
            self._consumer = KafkaConsumer(
                **_connection(settings),
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

    def assign(self, positions: Positions) -> None:
        partitions = _named(positions)
        self._consumer.assign(list(partitions.values()))
        for name, partition in partitions.items():
            self._consumer.seek(partition, positions[name])

    def poll(self, timeout_s: float) -> list[Fetched]:
        try:
            with _refusals():
                polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
        except OffsetOutOfRangeError as error:
            raise OutOfRangeError(str(error)) from error
        except (RefusedError, OSError):
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
        position, end = self._consumer.position(one, timeout_ms=0), self._consumer.highwater(one)
        return None if position is None or end is None else (position, end)

    def close(self) -> None:
        self._consumer.unsubscribe()  # ends a poll that spins over records of a partition
        self._consumer.close(autocommit=False, timeout_ms=1000)


class PythonAsking:
    """An `Asking` by kafka-python."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect. Raises RefusedError, or KafkaError where no broker answers in time."""
        with _refusals():
            self._admin = KafkaAdminClient(**_connection(settings))

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


class _refusals:  # noqa: N801  (used as a statement)
    """Turns the errors of kafka-python that no waiting mends into RefusedError.

    While it connects for the first time, it tries again after any of them, and in the end tells of the time alone.
    """

    def __enter__(self) -> None:
        _trouble.refusal = None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KafkaTimeoutError) and _trouble.refusal is not None:
            error = _trouble.refusal
        if error is not None and _is_refusal(error):
            raise RefusedError(f"{type(error).__name__.removesuffix('Error')}: {error}") from error


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, _REFUSALS) or _TLS_REFUSAL.search(str(error)) is not None


class _TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python is untyped
    """Reads the token anew for each connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self) -> str:
        return self._path.read_text(encoding="ascii").strip()


class _LastTrouble(logging.Handler):
    """Keeps the last thing that kafka-python complained about, to be told as the reason for an outage."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self.refusal: BaseException | None = None  # the last error among its complaints that no waiting mends

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
        for part in record.args if isinstance(record.args, tuple) else ():
            if isinstance(part, BaseException) and _is_refusal(part):
                self.refusal = part


_trouble = _LastTrouble()


def last_trouble() -> str:
    """Return what kafka-python last complained about."""
    return _trouble.text


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    """Return the options that a connection of any kind takes."""
    _quieten()
    options: dict[str, Any] = {
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
    logger.handlers = [_trouble]


def _fetched(partition: TopicPartition, records: list[Any]) -> Fetched:
    headers = [record.headers for record in records]
    return Fetched(
        join_name(*partition),
        np.array([record.offset for record in records], np.int64),
        [record.value for record in records],
        [record.key for record in records],
        [[(name, value or b"") for name, value in given or ()] for given in headers] if any(headers) else None,
        np.array([record.timestamp for record in records], np.int64),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _partition(name: str) -> TopicPartition:
    return TopicPartition(*split_name(name))


def _named(names: Iterable[str]) -> dict[str, TopicPartition]:
    return {name: _partition(name) for name in names}


def _positions(offsets: Mapping[TopicPartition, int]) -> Positions:
    return {join_name(*partition): offset for partition, offset in offsets.items()}
