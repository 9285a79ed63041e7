"""confluent-kafka as a client: several times as fast as kafka-python, since librdkafka parses records in C."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is public

from learnd.connectors.kafka.clients import contract
from learnd.connectors.kafka.clients.confluent_connection import ConfluentComplaints, confluent_options, translated
from learnd.connectors.kafka.clients.failures import TooLargeError, TruncatedError
from learnd.connectors.kafka.connection import KafkaConnection
from learnd.connectors.kafka.partition_names import join_name, split_name
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.daemon.values import Positions

_WAITING_KIB = 16 << 10  # fetched and not polled yet
_FULL_MS = 10  # how long fetching stops when so much waits: with librdkafka's own second, a fast reader runs dry
_CLOSE_S = 5.0
_EFFECT_S = 0.005


class ConfluentConsumer:
    """A `contract.Consumer`."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Connect. Raises RefusedError, or KafkaException if no broker answers in time."""
        self._complaints = ConfluentComplaints()
        self._consumer = Consumer(
            {
                **confluent_options(settings),
                "error_cb": self._complaints,
                "group.id": settings.group or "learnd",  # required; this consumer neither joins nor commits
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "check.crcs": True,
                "fetch.max.bytes": contract.MOST_BYTES,
                "fetch.wait.max.ms": round(contract.FETCH_WAIT_S * 1000),
                "queued.max.messages.kbytes": _WAITING_KIB,
                "fetch.queue.backoff.ms": _FULL_MS,
            }
        )
        self._busy = threading.Lock()
        self._reached: Positions = {}
        self._failed: Exception | None = None  # raised after the records before it were returned
        try:
            self._consumer.list_topics(timeout=contract.CONNECT_S)
        except KafkaException as error:
            self._consumer.poll(0)
            self._consumer.close()
            self._complaints.check()
            raise translated(error) from error

    def assign(self, positions: Positions, epochs: Mapping[str, int], ids: Mapping[str, str]) -> None:  # noqa: ARG002
        self._reached = dict(positions)
        self._consumer.assign([_partition(name, offset) for name, offset in positions.items()])
        for name, epoch in epochs.items():  # an assignment also takes an epoch, but ignores it
            self._seek(_partition(name, positions[name], epoch))

    def poll(self, timeout_s: float) -> list[contract.Fetched]:
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
                continue  # it asks for the coordinator of the group, which is not needed here
            else:  # what follows must not be taken: there may be a gap before it
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
        if self._busy.acquire(timeout=_CLOSE_S):  # closing a client that hangs would not be safe
            self._consumer.close()
            self._busy.release()

    def _messages(self, timeout_s: float) -> list[Any]:
        """Wait for one message, then take what else is there: `consume` alone would wait for the full number."""
        first = self._consumer.poll(timeout_s)
        return [] if first is None else [first, *self._consumer.consume(contract.POLL_RECORDS - 1, 0)]

    def _seek(self, partition: TopicPartition) -> None:
        """Seek, as soon as the assignment of the partition has taken effect."""
        deadline = time.monotonic() + contract.REQUEST_S
        while True:
            try:
                return self._consumer.seek(partition)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > deadline:  # noqa: SLF001
                    raise
            time.sleep(_EFFECT_S)

    def _offsets(self, partitions: Iterable[str], at: int) -> Positions:
        """Return the offset of a time, OFFSET_BEGINNING or OFFSET_END in partitions. Each broker is asked once."""
        wanted = [_partition(name, at) for name in partitions]
        try:
            found = self._consumer.offsets_for_times(wanted, timeout=contract.REQUEST_S) if wanted else []
        except KafkaException as error:
            raise translated(error) from error
        for one in found:
            if one.error is not None:
                raise translated(KafkaException(one.error))
        return {join_name(one.topic, one.partition): int(one.offset) for one in found}

    def _failure(self, message: Any) -> Exception:
        error = message.error()
        if "log truncation" in error.str():  # its code is that of a position out of range
            return TruncatedError({join_name(message.topic(), message.partition()): f"({error.str()})"})
        return translated(KafkaException(error))

    def _reach(self, name: str, offset: int) -> None:
        """Remember how far reading got: markers of transactions may come after the last record of a partition."""
        self._reached[name] = max(self._reached.get(name, 0), offset)


class ConfluentAdmin:
    """A `contract.Admin`."""

    def __init__(self, settings: KafkaConnection) -> None:
        """Connect. Raises RefusedError, or KafkaException if no broker answers in time."""
        self._complaints = ConfluentComplaints()
        options: dict[str, Any] = {**confluent_options(settings), "error_cb": self._complaints}
        self._admin = AdminClient(options)
        self._answer(lambda: self._admin.list_topics(timeout=contract.CONNECT_S))

    def topics(self, names: Sequence[str] | None) -> dict[str, contract.Topic]:
        wanted = self._all() if names is None else list(names)
        if not wanted:
            return {}
        found = {}
        asked = self._admin.describe_topics(TopicCollection(wanted), request_timeout=contract.REQUEST_S)
        for name, future in asked.items():
            described = self._answer(future.result)
            if described is not None and (names is not None or not described.is_internal):
                found[name] = contract.Topic(_uuid(described.topic_id), len(described.partitions))
        return found

    def held(self, partitions: Sequence[str]) -> dict[str, tuple[int, int]]:
        first = self._offsets(partitions, OffsetSpec.earliest())
        ends = self._offsets(partitions, OffsetSpec.latest())
        return {name: (first[name], ends[name]) for name in partitions}

    def _offsets(self, partitions: Sequence[str], which: OffsetSpec) -> Positions:
        asked = self._admin.list_offsets(
            {_partition(name): which for name in partitions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=contract.REQUEST_S,
        )
        return {join_name(at.topic, at.partition): future.result().offset for at, future in asked.items()}

    def commit(self, group: str, positions: Positions) -> None:
        offsets = [_partition(name, offset) for name, offset in positions.items()]
        (future,) = self._admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=contract.REQUEST_S
        ).values()
        for partition in future.result().topic_partitions:
            if partition.error is not None:
                raise KafkaException(partition.error)

    def close(self) -> None:
        """Do nothing: the garbage collector ends its threads."""

    def _all(self) -> list[str]:
        return list(self._answer(lambda: self._admin.list_topics(timeout=contract.REQUEST_S)).topics)

    def _answer(self, ask: Callable[[], Any]) -> Any:
        """Return the answer; None if a topic does not exist. Raises RefusedError, KafkaException."""
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:  # noqa: SLF001
                return None
            self._admin.poll(0)
            self._complaints.check()
            raise translated(error) from error


class ConfluentProducer:
    """A `contract.Producer`."""

    def __init__(self, settings: KafkaConnection, topic: str) -> None:
        """Connect. Raises RefusedError, or KafkaException if no broker answers in time."""
        self._topic = topic
        self._complaints = ConfluentComplaints()
        self._producer = Producer(
            {
                **confluent_options(settings),
                "error_cb": self._complaints,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "message.max.bytes": contract.MOST_BYTES,
                "message.timeout.ms": round(contract.DELIVERY_S * 1000),
            }
        )
        try:
            self._producer.list_topics(topic, timeout=contract.CONNECT_S)
        except KafkaException as error:
            self._producer.poll(0)
            self._complaints.check()
            raise translated(error) from error

    def deliver(self, messages: Sequence[contract.Message]) -> None:
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
        left = self._producer.flush(contract.DELIVERY_S)
        self._complaints.check()
        too_large = [index for index, error in failed.items() if error.code() == KafkaError.MSG_SIZE_TOO_LARGE]
        if too_large:  # alone, or with others that were sent in the same batch
            raise TooLargeError(max(too_large, key=lambda index: messages[index].size))
        if failed:
            raise translated(KafkaException(failed[min(failed)]))
        if left:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{left} messages were not delivered"))  # noqa: SLF001

    def close(self) -> None:
        """Close, and drop what is not delivered."""
        self._producer.purge()
        self._producer.flush(0)


def _fetched(partition: str, messages: list[Any]) -> contract.Fetched:
    times = [message.timestamp() for message in messages]
    epochs = [message.leader_epoch() for message in messages]
    return contract.Fetched(
        partition,
        np.array([message.offset() for message in messages], np.int64),
        [message.value() for message in messages],
        [message.key() for message in messages],
        contract.named_headers([message.headers() for message in messages]),
        np.array([time_ms if kind else -1 for kind, time_ms in times], np.int64),
        [-1 if epoch is None else epoch for epoch in epochs],
    )


def _uuid(topic_id: Any) -> str:
    """Return the id of a topic as kafka-python writes it; empty if brokers are too old to give one."""
    high, low = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return str(uuid.UUID(int=((high & (2**64 - 1)) << 64) | (low & (2**64 - 1)))) if high or low else ""


def _partition(name: str, offset: int = -1001, epoch: int = -1) -> TopicPartition:
    topic, number = split_name(name)
    return TopicPartition(topic, number, offset, leader_epoch=epoch)
