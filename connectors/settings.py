"""Settings of the sources, the dead letters and the predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    harmless: ClassVar[Mapping[str, str]] = {
        "path": "the state knows the files that it has read, and the position in each",
        "follow": "when the stream ends",
        "when_gone": "what was left out is in the journal",
    }

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

    harmless: ClassVar[Mapping[str, str]] = {
        "file": "where they are written",
        "kafka": "where they are written",
        "max_rate": "when a run ends, never what it learned until then",
        "window": "as max_rate",
    }

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

    harmless: ClassVar[Mapping[str, str]] = {"kafka": "where they are written"}

    kafka: KafkaOutputSettings | None = None
    """A topic with a message for each trained sample."""


def problems_with_outputs(outputs: Mapping[str, KafkaOutputSettings | None], source: SourceSettings) -> Iterator[str]:
    """Yield what is wrong with the topics that sections write to: no broker, or a topic that is used twice.

    What is written must not come back as records, nor stand among what another section writes.
    """
    given = {name: output for name, output in outputs.items() if output is not None}
    for index, (name, output) in enumerate(given.items()):
        if output.connection(source) is None:
            yield f"{name}.kafka.bootstrap_servers is missing: the source is not Kafka"
        if output.is_read_by(source):
            yield f"{name}.kafka.topic: source.kafka reads {output.topic}, and would train on what is written to it"
        for other_name, other in list(given.items())[:index]:
            if other.is_also(output, source):
                written = other_name.replace("_", " ")
                yield f"{name}.kafka.topic: {written} are written to {output.topic} already"
