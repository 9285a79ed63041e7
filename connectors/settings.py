"""Settings of the sources, the dead letters and the predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from learnd.connectors.kafka.settings import KafkaOutputSettings, RegistrySettings
from learnd.connectors.source_settings import MIB, Glance, MessageSettings, RecordLimit, SourceSettings
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import RecordFormat


class FilesSettings(SourceSettings):
    """Records in files: JSON lines or CSV, plain, `.gz` or `.zst`; or Parquet."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv", "parquet")

    path: Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"})]
    """A file, a glob (`logs/*.jsonl`, `logs/**/*.csv.gz`), or a directory. Files are read in name order, one after the
    other; in a directory those whose name starts with `.` or `_` are left out."""

    follow: bool = False
    """False: read what is there to its end. True: follow growing files like `tail -F`, through rotation and
    truncation, and watch a directory or glob for new files. A glob that covers the rotated names as well
    (`app.jsonl*`) also finds files that were rotated twice while nothing ran."""

    max_record_bytes: RecordLimit = MIB
    """A longer line is rejected; the stream goes on with the next one."""

    when_gone: Literal["stop", "skip"] = "stop"
    """What to do at a start where a file that was read in part is no longer there: `stop` with an error, or `skip` what
    was unread of it."""

    def glance(self, fmt: RecordFormat) -> Glance:
        from learnd.connectors.files import glance  # the settings alone need none of what reads files

        return glance(self, fmt)


class StdinSettings(SourceSettings):
    """Records piped into the daemon. They are spooled to the state directory first, so that none is lost."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv")

    max_record_bytes: RecordLimit = MIB
    """A longer line is rejected; the stream goes on with the next one."""


class RecordingSettings(MessageSettings):
    """Records that `learnd record` has taken from topics, at the positions that they had there."""

    access: ClassVar[tuple[str, ...]] = ("path", "registry")

    path: Path
    """The file: `.jsonl`, `.jsonl.zst` or `.parquet`."""

    max_record_bytes: RecordLimit = MIB
    """A longer value is rejected; the stream goes on with the next record."""

    registry: RegistrySettings | None = None
    """For Avro values that name their schema by its number, in Confluent's wire format."""


class DeadLetterSettings(Section):
    """Where rejected records go, and how many of them are too many."""

    file: Path | None = None
    """The file of rejected records, as JSON lines; `dead-letters.jsonl` in the state directory by default."""

    kafka: KafkaOutputSettings | None = None
    """A topic that they are written to as well, with the original key, value, headers and timestamp."""

    max_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Stop (exit code 65) when more than this share of the last `window` records was rejected."""

    window: PositiveInt = 1000
    """Records over which the share of rejected ones is taken."""


class PredictionSettings(Section):
    """Where predictions go, those that were made before the update: nowhere by default."""

    kafka: KafkaOutputSettings | None = None
    """A topic with a message for each trained sample."""
