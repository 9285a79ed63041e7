from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka_broker import required, shared_broker
from output_places.dead_letters_file import rejection
from output_places.place import Place

from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.publishing import DeadLetterTopic
from learnd.connectors.kafka.settings import KafkaSettings


def values(bootstrap: str, topic: str) -> list[int]:
    """Return the numbers that are the values in a topic of one partition."""
    partition = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    consumer.assign([partition])
    consumer.seek_to_beginning()
    found: list[Any] = []
    end = consumer.end_offsets([partition])[partition]
    while consumer.position(partition) < end:
        found += consumer.poll(timeout_ms=1000).get(partition, [])
    consumer.close()
    return [int(record.value) for record in found]


def place(_root: Path) -> Place:
    broker = required(shared_broker)
    source = KafkaSettings(bootstrap_servers=broker.bootstrap, topic="none")
    topic = broker.topic()

    def write(output: DeadLetterTopic, item: int) -> None:
        output.write([rejection(item)])

    settings = KafkaOutputSettings(topic=topic)
    return Place(lambda: DeadLetterTopic(settings, source), write, lambda: values(broker.bootstrap, topic), cuts=False)
