from __future__ import annotations

from pathlib import Path

from kafka_broker import required, shared_broker
from output_places.dead_letters_kafka import values
from output_places.place import Place

from learnd.connectors.kafka.clients.contract import Message
from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.connectors.kafka.publishing import PredictionTopic
from learnd.connectors.kafka.settings import KafkaSettings


def place(_root: Path) -> Place:
    broker = required(shared_broker)
    source = KafkaSettings(bootstrap_servers=broker.bootstrap, topic="none")
    topic = broker.topic()

    def write(output: PredictionTopic, item: int) -> None:
        output.append([Message(None, b"%d" % item)])

    settings = KafkaOutputSettings(topic=topic)
    return Place(lambda: PredictionTopic(settings, source), write, lambda: values(broker.bootstrap, topic), cuts=False)
