"""Settings of what is read from Kafka."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from learnd.connectors.kafka.connection import KafkaConnection, SchemaRegistrySettings
from learnd.connectors.kafka.partition_names import split_name
from learnd.connectors.kafka.starts import Offsets, Start, parse_start
from learnd.connectors.source_settings import MIB, MessageSettings, RecordLimit
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import RecordFormat


class WhenBehindSettings(Section):
    """What to leave out when records come faster than they train."""

    records: PositiveInt
    """How many unread records of a partition are too many."""

    do: Literal["thin", "skip"]
    """`thin`: train only a share of the records that are unread then, spread evenly. `skip`: go on at the newest."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share that `thin` keeps."""

    @model_validator(mode="after")
    def _share_is_of_thin(self) -> Self:
        if self.do != "thin" and "share" in self.model_fields_set:
            raise ValueError("share: only with do: thin")
        return self


class KafkaSettings(KafkaConnection, MessageSettings):
    """Records in topics of Apache Kafka: only committed ones, each partition in its order."""

    access: ClassVar[tuple[str, ...]] = ("bootstrap_servers", "client", "tls", "sasl", "registry", "on_data_loss")
    harmless: ClassVar[Mapping[str, str]] = {
        "topic": "positions in the state are by topic",
        "pattern": "as topic",
        "start": "for partitions that the state has no position of",
        "when_behind": "what was left out is in the journal",
        "group": "positions are shown there, and never read back",
        "discover_every_s": "when new partitions are found: what was read is in the journal",
    }

    topic: str | list[str] | None = None
    """The topic, or several. Topics are never created."""

    pattern: str | None = None
    """Instead of `topic`: a regular expression that must match the whole name of a topic. Topics that appear later are
    read from their beginning."""

    start: str | dict[str, NonNegativeInt] = "earliest"
    """Where to start in partitions that the state has no position for: `earliest`, `latest`, an age (`-2h`; s, m, h,
    d), a time (`2026-01-31T12:00:00Z`), or offsets (`{clicks/0: 1200}`; partitions not named start at the earliest).
    Partitions that are added later start at their beginning."""

    on_data_loss: Literal["stop", "skip"] = "stop"
    """What to do if records were deleted before they were read, for example by retention: `stop` with an error that
    names them, or `skip` them and write each gap to the dead letters (reason `lost`). If they had trained, but a kill
    came before the checkpoint, `skip` goes on from the checkpoint without them. If brokers lost records that the model
    has seen, `skip` goes on at the position, without what was written anew at offsets before it."""

    when_behind: WhenBehindSettings | None = None
    """What to leave out when records come faster than they train: nothing by default. Each range that is left out is
    in the journal, so that a resume leaves out the same, and counts in `learnd_records_skipped_total`."""

    group: Annotated[str, Field(min_length=1)] | None = "learnd"
    """The consumer group under which each checkpoint's positions are shown to monitors of lag. They are never read
    back; null: shown nowhere. Daemons that read the same topic need a group each, or they show each other's."""

    discover_every_s: PositiveFloat = 10.0
    """How often to look for new partitions, in seconds."""

    max_record_bytes: RecordLimit = MIB
    """A longer value is rejected; the stream goes on with the next record."""

    registry: SchemaRegistrySettings | None = None
    """For Avro values that name their schema by its number, in Confluent's wire format."""

    @field_validator("start")
    @classmethod
    def _known_start(cls, value: str | dict[str, int]) -> str | dict[str, int]:
        parse_start(value)
        return value

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_choice_of_topics(self) -> Self:
        if (self.topic is None) == (self.pattern is None):
            raise ValueError("give topic or pattern: one of them")
        if self.topic is not None and not all(self.topics or [""]):
            raise ValueError("topic: name at least one, and none of them empty")
        if len(set(self.topics)) < len(self.topics):
            raise ValueError("topic: one of them is named twice")
        return self

    @model_validator(mode="after")
    def _starts_in_its_topics(self) -> Self:
        if foreign := self.foreign(parse_start(self.start)):
            raise ValueError(f"start: {', '.join(foreign)} is of no topic that is read")
        return self

    def problem_with(self, fmt: RecordFormat) -> str | None:
        if self.registry is not None and fmt.name != "avro":
            return f"source.kafka.registry: only for Avro, but samples.format is {fmt.name}"
        if self.registry is None and fmt.name == "avro" and not fmt.schema:
            return (
                "samples.schema_file is missing: plain Avro values need the schema that they were written with, in a "
                "file; for values that name their schema by its number give source.kafka.registry instead"
            )
        return super().problem_with(fmt)

    @property
    def gives_up_lost(self) -> bool:
        return self.on_data_loss == "skip"

    def reads_topic(self, topic: str) -> bool:
        """Whether a topic is one of those that are read."""
        return topic in self.topics if self.pattern is None else re.fullmatch(self.pattern, topic) is not None

    def foreign(self, rule: Start) -> list[str]:
        """Return the partitions that a rule names although their topic is not read."""
        named = rule.offsets if isinstance(rule, Offsets) else ()
        return [name for name in named if not self.reads_topic(split_name(name)[0])]

    @property
    def topics(self) -> Sequence[str]:
        """The named topics; none if there is a pattern."""
        return [self.topic] if isinstance(self.topic, str) else self.topic or []
