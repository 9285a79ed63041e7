"""Settings of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from learnd.connectors.kafka.connection import SchemaRegistrySettings
from learnd.connectors.source_settings import MIB, MessageSettings, RecordLimit


class RecordingSettings(MessageSettings):
    """Records that `learnd record` has taken from topics, at the positions that they had there."""

    access: ClassVar[tuple[str, ...]] = ("path", "registry")

    path: Path
    """The file: `.jsonl`, `.jsonl.zst` or `.parquet`."""

    max_record_bytes: RecordLimit = MIB
    """A longer value is rejected; the stream goes on with the next record."""

    registry: SchemaRegistrySettings | None = None
    """For Avro values that name their schema by its number, in Confluent's wire format."""
