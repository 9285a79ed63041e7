from __future__ import annotations

from pathlib import Path

from kafka_broker import Broker, required, shared_broker
from source_streams.stream import JSON, N, Stream, json_lines

from learnd.connectors.kafka.settings import KafkaSettings
from learnd.connectors.kafka.source import KafkaSource


def _topic(broker: Broker, topic: str, client: str) -> Stream:
    given = {"bootstrap_servers": broker.bootstrap, "topic": topic, "client": client, "group": None}
    settings = KafkaSettings.model_validate(given)
    return Stream(lambda: KafkaSource(settings, JSON))


def topic(_root: Path, client: str = "kafka-python") -> Stream:
    broker = required(shared_broker)
    name = broker.topic()
    broker.produce(name, json_lines().splitlines())
    return _topic(broker, name, client)


def topic_by_confluent(root: Path) -> Stream:
    return topic(root, "confluent")


def transactions(_root: Path, client: str = "kafka-python") -> Stream:
    """Records of transactions, some of them aborted: the markers of their ends take offsets, too."""
    broker: Broker = required(shared_broker)
    name = broker.topic()
    producer = broker.producer(transactional_id=name)
    producer.init_transactions()
    for number, first in enumerate(range(0, N, 300)):
        producer.begin_transaction()
        for value in json_lines(first, first + 300).splitlines():
            producer.send(name, value, partition=0)
        producer.commit_transaction()
        if number % 3 == 1:
            producer.begin_transaction()
            producer.send(name, b"no record", partition=0).get()
            producer.abort_transaction()
    producer.close()
    return _topic(broker, name, client)


def transactions_by_confluent(root: Path) -> Stream:
    return transactions(root, "confluent")
