"""Settings of what is written to Kafka."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from learnd.connectors.kafka.connection import (
    KafkaConnection,
    KafkaSaslSettings,
    KafkaTlsSettings,
    Servers,
    sends_password_in_clear,
)
from learnd.connectors.kafka.settings import KafkaSettings
from learnd.daemon.foundation.section import Section


class KafkaOutputSettings(Section):
    """A topic to write to. It is never created."""

    topic: Annotated[str, Field(min_length=1)]
    """Its name."""

    bootstrap_servers: Servers | None = None
    """The first brokers to ask. Without them the connection is that of `source.kafka`, with its `tls` and `sasl`."""

    tls: KafkaTlsSettings | None = None
    """Encryption, if `bootstrap_servers` are given."""

    sasl: KafkaSaslSettings | None = None
    """Authentication, if `bootstrap_servers` are given."""

    @model_validator(mode="after")
    def _own_connection(self) -> Self:
        if self.bootstrap_servers is None and (self.tls is not None or self.sasl is not None):
            raise ValueError("tls and sasl go with bootstrap_servers: give those too, or none of them")
        return self

    def doubt(self) -> str | None:
        return sends_password_in_clear(self.tls, self.sasl)

    def connection(self, source: Section) -> KafkaConnection | None:
        """Return how its brokers are reached; None if neither these settings nor those of the source say so."""
        of_source = source if isinstance(source, KafkaConnection) else None
        if self.bootstrap_servers is None:
            return of_source
        client = KafkaConnection().client if of_source is None else of_source.client
        return KafkaConnection(bootstrap_servers=self.bootstrap_servers, client=client, tls=self.tls, sasl=self.sasl)

    def is_read_by(self, source: Section) -> bool:
        """Whether what is written to the topic would come back as records of the source."""
        if not isinstance(source, KafkaSettings) or not self._shares_brokers(source, source):
            return False
        return source.reads_topic(self.topic)

    def is_also(self, other: KafkaOutputSettings, source: Section) -> bool:
        """Whether another output writes to the same topic."""
        connection = other.connection(source)
        return self.topic == other.topic and connection is not None and self._shares_brokers(connection, source)

    def _shares_brokers(self, other: KafkaConnection, source: Section) -> bool:
        own = self.connection(source)
        return own is not None and not set(own.servers).isdisjoint(other.servers)
