"""Opens sources on a broker and reads from them, for the tests."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kafka import TopicPartition
from kafka.errors import TopicAlreadyExistsError
from kafka_broker import Broker

from learnd.connectors.kafka.clients import connect
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.source import KafkaSource
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

JSON = RecordFormat("json")
PATIENCE_S = 200.0

chosen: dict[str, Any] = {"client": "kafka-python"}  # by the fixture `client`


@contextlib.contextmanager
def opened(
    broker: Broker,
    positions: Positions | None = None,
    notes: Sequence[Note] = (),
    *,
    consumer: Callable[[KafkaSettings], Any] = connect.consumer,
    hangs_s: float = 60.0,
    fmt: RecordFormat = JSON,
    **settings: Any,
) -> Iterator[KafkaSource]:
    usual = {"bootstrap_servers": broker.bootstrap, **chosen, "group": None, "discover_every_s": 0.2}
    given = KafkaSettings.model_validate({**usual, **settings})
    source = KafkaSource(given, fmt, consumer=consumer, hangs_s=hangs_s)
    source.open(positions or {}, notes)
    try:
        yield source
    finally:
        source.close()


def take(source: KafkaSource, records: int) -> list[RecordBatch]:
    """Read until there are so many records."""
    batches: list[RecordBatch] = []
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(len, batches)) < records:
        assert time.monotonic() < deadline, f"{sum(map(len, batches))} of {records} records came"
        batch = source.read(0.1)
        if batch is not None:
            batches.append(batch)
    assert sum(map(len, batches)) == records
    return batches


def repeat(source: KafkaSource, partition: str, start: int, end: int) -> list[RecordBatch]:
    """Read a range again."""
    return [batch for batch in source.read_range(partition, start, end) if batch is not None]


def wait(source: KafkaSource, happened: Callable[[], bool]) -> None:
    """Read, and find nothing, until something has happened."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        assert source.read(0.05) is None


def await_(happened: Callable[[], bool]) -> None:
    """Wait until something has happened, and read nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def delete_before(broker: Broker, topic: str, offset: int) -> None:
    """Delete the records before an offset, as retention does."""
    with contextlib.closing(broker.admin()) as admin:
        admin.delete_records({TopicPartition(topic, 0): offset})


def made_again(broker: Broker, topic: str) -> None:
    """Create a topic that is just being deleted."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            broker.topic(name=topic)
            break
        except TopicAlreadyExistsError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def values(batches: list[RecordBatch]) -> list[object]:
    return [value for batch in batches for value in batch.values]


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [batch.note for batch in batches if batch.note is not None]


def after(batches: list[RecordBatch]) -> Positions:
    return {batch.partition: int(batch.ends[-1]) for batch in batches}


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]
