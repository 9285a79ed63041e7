"""Settings of where dead letters and predictions go."""

from __future__ import annotations

from pathlib import Path

from learnd.connectors.kafka.output_settings import KafkaOutputSettings
from learnd.daemon.foundation.section import Section


class DeadLetterPlaces(Section):
    """Where rejected records go."""

    file: Path | None = None
    """The file of rejected records, as JSON lines; `dead-letters.jsonl` in the state directory by default."""

    kafka: KafkaOutputSettings | None = None
    """A topic that they are written to as well, with the original key, value, headers and timestamp."""


class PredictionSettings(Section):
    """Where predictions go, those that were made before the update: nowhere by default."""

    kafka: KafkaOutputSettings | None = None
    """A topic with a message for each trained sample."""
