"""The client that the settings choose. confluent-kafka is imported only where it is asked for: it is an extra."""

from __future__ import annotations

from learnd.connectors.kafka.client import Asking, Reading, Writing
from learnd.connectors.kafka.settings import KafkaConnection, KafkaSettings


def reading(settings: KafkaSettings) -> Reading:
    """Return a connection that records come from. Raises RefusedError, or another error where no broker answers."""
    if settings.client == "confluent":
        from learnd.connectors.kafka.confluent_client import ConfluentReading

        return ConfluentReading(settings)
    from learnd.connectors.kafka.python_client import PythonReading

    return PythonReading(settings)


def asking(settings: KafkaConnection) -> Asking:
    """Return a connection to ask about topics. Raises as `reading`."""
    if settings.client == "confluent":
        from learnd.connectors.kafka.confluent_client import ConfluentAsking

        return ConfluentAsking(settings)
    from learnd.connectors.kafka.python_client import PythonAsking

    return PythonAsking(settings)


def writing(settings: KafkaConnection, topic: str) -> Writing:
    """Return a connection that writes to a topic. Raises as `reading`."""
    if settings.client == "confluent":
        from learnd.connectors.kafka.confluent_client import ConfluentWriting

        return ConfluentWriting(settings, topic)
    from learnd.connectors.kafka.python_client import PythonWriting

    return PythonWriting(settings, topic)
