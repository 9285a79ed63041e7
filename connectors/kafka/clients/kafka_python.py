"""kafka-python as a client: the default, in pure Python."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    for_code,
)
from kafka.protocol.consumer import IsolationLevel, OffsetSpec

from learnd.connectors.kafka.clients import contract, failures
from learnd.connectors.kafka.clients.fetches_by_id import FetchesById
from learnd.connectors.kafka.clients.kafka_python_connection import kafka_python_options, refusals, truncations
from learnd.connectors.kafka.connection import KafkaConnection
from learnd.connectors.kafka.partition_names import join_name, split_name
from learnd.daemon.values import Positions


class PythonConsumer:
    """A `contract.Consumer`."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaError if no broker answers in time."""
        with refusals():
            self._consumer = KafkaConsumer(
                **kafka_python_options(settings),
                fetch_max_bytes=contract.MOST_BYTES,
                fetch_max_wait_ms=round(contract.FETCH_WAIT_S * 1000),
                max_poll_records=contract.POLL_RECORDS,
                isolation_level="read_committed",
                auto_offset_reset="none",
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                check_crcs=True,
                metrics_enabled=False,
            )
        # kafka-python does not pass that setting on: a topic that was deleted would be created again.
        self._consumer._cluster.config["allow_auto_create_topics"] = False  # noqa: SLF001
        self._fetches = FetchesById(self._consumer._fetcher)  # noqa: SLF001

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:
        self._fetches.know(ids)
        partitions = _named(positions)
        self._consumer.assign(list(partitions.values()))
        assigned = self._consumer._subscription.assignment  # noqa: SLF001  (the public `seek` takes no epoch)
        for name, partition in partitions.items():
            assigned[partition].seek(OffsetAndMetadata(positions[name], "", epochs.get(name, -1)))

    def poll(self, timeout_s: float) -> list[contract.Fetched]:
        try:
            with refusals(), truncations():
                polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
                self._fetches.raise_for_missing()
        except OffsetOutOfRangeError as error:
            raise failures.OutOfRangeError(str(error)) from error
        except (failures.RefusedError, failures.TruncatedError, OSError):
            raise
        except Exception as error:
            if isinstance(error, KafkaError) and not isinstance(error, CorruptRecordError):
                raise
            raise failures.CorruptError(f"{type(error).__name__}: {error}") from error
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
        with truncations():  # it looks for them as well
            position = self._consumer.position(one, timeout_ms=0)
        end = self._consumer.highwater(one)
        return None if position is None or end is None else (position, end)

    def close(self) -> None:
        self._consumer.unsubscribe()  # this ends a poll that spins over the records of a partition
        self._consumer.close(autocommit=False, timeout_ms=1000)


class PythonProducer:
    """A `contract.Producer`."""

    def __init__(self, settings: KafkaConnection, topic: str) -> None:
        """Connect. Raises RefusedError, or KafkaError if no broker answers in time."""
        self._topic = topic
        with refusals():
            self._producer = KafkaProducer(
                **kafka_python_options(settings),
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=5,
                max_block_ms=round(contract.REQUEST_S * 1000),
                max_request_size=contract.MOST_BYTES,
                delivery_timeout_ms=round(contract.DELIVERY_S * 1000),
                metrics_enabled=False,
            )
        self._producer._metadata.config["allow_auto_create_topics"] = False  # noqa: SLF001  (see PythonConsumer)

    def deliver(self, messages: Sequence[contract.Message]) -> None:
        with refusals():
            sent = [self._send(index, message) for index, message in enumerate(messages)]
            deadline = time.monotonic() + contract.DELIVERY_S
            for future in sent:
                try:
                    future.get(timeout=max(deadline - time.monotonic(), 0.001))
                except MessageSizeTooLargeError as error:  # perhaps another one of the same batch is
                    refused = [n for n, one in enumerate(sent) if isinstance(one.exception, MessageSizeTooLargeError)]
                    raise failures.TooLargeError(max(refused, key=lambda index: messages[index].size)) from error

    def _send(self, index: int, message: contract.Message) -> Any:
        try:
            return self._producer.send(
                self._topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                timestamp_ms=message.timestamp_ms,
            )
        except MessageSizeTooLargeError as error:
            raise failures.TooLargeError(index) from error

    def close(self) -> None:
        self._producer.close(timeout=1)


class PythonAdmin:
    """A `contract.Admin`."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaError if no broker answers in time."""
        with refusals():
            self._admin = KafkaAdminClient(**kafka_python_options(settings))

    def topics(self, names: Sequence[str] | None) -> dict[str, contract.Topic]:
        with refusals():
            described = self._admin.describe_topics(None if names is None else list(names))
            found = {}
            for topic in described:
                error = for_code(topic["error_code"])
                if issubclass(error, AuthorizationError):
                    raise error(topic["name"])
                if topic["error_code"] == 0 and (names is not None or not topic["is_internal"]):
                    found[topic["name"]] = contract.Topic(str(topic["topic_id"] or ""), len(topic["partitions"]))
        return found

    def held(self, partitions: Sequence[str]) -> dict[str, tuple[int, int]]:
        first = self._offsets(partitions, OffsetSpec.EARLIEST)
        ends = self._offsets(partitions, OffsetSpec.LATEST)
        return {name: (first[name], ends[name]) for name in partitions}

    def _offsets(self, partitions: Sequence[str], which: OffsetSpec) -> Positions:
        asked = dict.fromkeys(map(_partition, partitions), which)
        found = self._admin.list_partition_offsets(asked, IsolationLevel.READ_COMMITTED)
        return {join_name(*partition): at.offset for partition, at in found.items()}

    def commit(self, group: str, positions: Positions) -> None:
        offsets = {_partition(name): OffsetAndMetadata(offset, "", -1) for name, offset in positions.items()}
        for error in self._admin.alter_group_offsets(group, offsets).values():
            if error.errno:
                raise error

    def close(self) -> None:
        self._admin.close()


def _fetched(partition: TopicPartition, records: list[Any]) -> contract.Fetched:
    return contract.Fetched(
        join_name(*partition),
        np.array([record.offset for record in records], np.int64),
        [record.value for record in records],
        [record.key for record in records],
        contract.named_headers([record.headers for record in records]),
        np.array([record.timestamp for record in records], np.int64),
        [record.leader_epoch for record in records],
    )


def _partition(name: str) -> TopicPartition:
    return TopicPartition(*split_name(name))


def _named(names: Iterable[str]) -> dict[str, TopicPartition]:
    return {name: _partition(name) for name in names}


def _positions(offsets: Mapping[TopicPartition, int]) -> Positions:
    return {join_name(*partition): offset for partition, offset in offsets.items()}
