"""Connects with the client that the settings choose. confluent-kafka is an extra: imported only when it is chosen."""

from __future__ import annotations

from learnd.connectors.kafka.clients.contract import Admin, Consumer, Producer
from learnd.connectors.kafka.clients.kafka_python_internals import check_internals
from learnd.connectors.kafka.connection import KafkaConnection
from learnd.connectors.kafka.settings import KafkaSettings


def consumer(settings: KafkaSettings) -> Consumer:
    """Connect to read records.

    Raises RefusedError, SourceError if this kafka-python is not the known one, or another error if no broker answers.
    """
    if settings.client == "confluent":
        from learnd.connectors.kafka.clients.confluent import ConfluentConsumer

        return ConfluentConsumer(settings)
    check_internals()
    from learnd.connectors.kafka.clients.kafka_python import PythonConsumer

    return PythonConsumer(settings)


def admin(settings: KafkaConnection) -> Admin:
    """Connect to ask about topics. Raises what `consumer` raises."""
    if settings.client == "confluent":
        from learnd.connectors.kafka.clients.confluent import ConfluentAdmin

        return ConfluentAdmin(settings)
    check_internals()
    from learnd.connectors.kafka.clients.kafka_python import PythonAdmin

    return PythonAdmin(settings)


def producer(settings: KafkaConnection, topic: str) -> Producer:
    """Connect to write to a topic. Raises what `consumer` raises."""
    if settings.client == "confluent":
        from learnd.connectors.kafka.clients.confluent import ConfluentProducer

        return ConfluentProducer(settings, topic)
    check_internals()
    from learnd.connectors.kafka.clients.kafka_python import PythonProducer

    return PythonProducer(settings, topic)
