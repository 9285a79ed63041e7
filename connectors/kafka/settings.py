"""Settings of what is read from and written to Kafka."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)

from learnd.connectors.kafka.starts import Offsets, Start, parse_start, split_name
from learnd.connectors.source_settings import MIB, MessageSettings, RecordLimit
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import RecordFormat

_SERVER = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s\[\]:/@,]+):(\d{1,5})")


def _hosts(given: str | list[str]) -> list[str]:
    return [server.strip() for server in (given.split(",") if isinstance(given, str) else given)]


def _reachable(given: str | list[str]) -> str | list[str]:
    """Raise ValueError where one of the servers is no `host:port`: a client would look for it for ever."""
    for server in _hosts(given) or [""]:
        found = _SERVER.fullmatch(server)
        if found is None or not 0 < int(found[2]) < 1 << 16:
            raise ValueError(f"{server!r} is no broker as host:port; write kafka-1:9092, or several with commas")
    return given


Servers = Annotated[str | list[str], AfterValidator(_reachable)]


class KafkaTlsSettings(Section):
    """Encryption, and how the two ends know each other. `tls: {}` trusts what the system trusts."""

    reads: ClassVar[tuple[str, ...]] = ("ca", "certificate", "key")

    ca: Path | None = None
    """The certificates of the authorities that are trusted, in PEM; without it those that the system trusts."""

    certificate: Path | None = None
    """The client's own certificate and those that lead to its authority, in PEM, where the broker asks for one."""

    key: Path | None = None
    """The private key of `certificate`, in PEM."""

    key_password: SecretStr | None = None
    """What the private key is encrypted with. From a file: `key_password_file`."""

    check_hostname: bool = True
    """Whether the broker's certificate has to be for the name that it is reached by."""

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or neither")
        return self


class KafkaSaslSettings(Section):
    """Who the daemon is to the broker."""

    reads: ClassVar[tuple[str, ...]] = ("token_path",)

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    """How it is proved. PLAIN sends the password as it is: only with `tls`."""

    username: str | None = None
    """The name, for PLAIN and SCRAM."""

    password: SecretStr | None = None
    """The password, for PLAIN and SCRAM. From a file: `password_file`."""

    token_path: Path | None = None
    """For OAUTHBEARER: a file with the token, read anew for each connection, so that it may be renewed meanwhile."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ["token_path"] if self.mechanism == "OAUTHBEARER" else ["username", "password"]
        for name in ("username", "password", "token_path"):
            if (getattr(self, name) is None) == (name in needed):
                raise ValueError(f"{self.mechanism} takes {' and '.join(needed)}, and nothing else")
        return self


def _in_the_clear(tls: KafkaTlsSettings | None, sasl: KafkaSaslSettings | None) -> str | None:
    shown = tls is None and sasl is not None and sasl.mechanism == "PLAIN"
    return "PLAIN without tls shows the password to whoever listens on the way to the brokers" if shown else None


class RegistrySettings(Section):
    """A schema registry with Confluent's interface: where the schemas are by which Avro values were written."""

    reads: ClassVar[tuple[str, ...]] = ("ca",)

    url: Annotated[str, Field(pattern=r"^https?://[^/]")]
    """Its address: `http://registry:8081`, or with a path (Apicurio: `.../apis/ccompat/v7`)."""

    username: str | None = None
    """The name, where it asks for one (for Confluent Cloud: the API key)."""

    password: SecretStr | None = None
    """The password. From a file: `password_file`."""

    ca: Path | None = None
    """The certificates of the authorities that are trusted, in PEM; without it those that the system trusts."""

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        """What is in the address is in messages and in the state directory, too."""
        if "@" in urlsplit(value).netloc:
            raise ValueError("give the name and the password as username and password_file beside it, not in the url")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: give both, or neither")
        return self


class WhenBehindSettings(Section):
    """What to leave out where records come faster than they train."""

    records: PositiveInt
    """How many unread records of a partition are too many."""

    do: Literal["thin", "skip"]
    """`thin`: of those that are unread then, train a share alone, spread evenly. `skip`: go on at the newest."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The share that `thin` keeps."""

    @model_validator(mode="after")
    def _share_is_of_thin(self) -> Self:
        if self.do != "thin" and "share" in self.model_fields_set:
            raise ValueError("share: only with do: thin")
        return self


class KafkaConnection(Section):
    """How brokers are reached."""

    bootstrap_servers: Servers = "localhost:9092"
    """Brokers to ask first, as `host:port`: a list, or a text with commas."""

    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """Which library talks to them. `confluent` (confluent-kafka) is several times as quick, and comes with
    `pip install learnd[confluent]`. Positions, recordings and results are the same."""

    tls: KafkaTlsSettings | None = None
    """Encryption; without it the connection is plain."""

    sasl: KafkaSaslSettings | None = None
    """Authentication by name and password, or by token."""

    @field_validator("client")
    @classmethod
    def _installed(cls, value: str) -> str:
        if value == "confluent" and importlib.util.find_spec("confluent_kafka") is None:
            raise ValueError("confluent-kafka is not installed: pip install learnd[confluent], or use kafka-python")
        return value

    @property
    def servers(self) -> list[str]:
        """The brokers to ask first."""
        return _hosts(self.bootstrap_servers)

    def doubt(self) -> str | None:
        return _in_the_clear(self.tls, self.sasl)


class KafkaOutputSettings(Section):
    """A topic that is written to. It is never created."""

    topic: Annotated[str, Field(min_length=1)]
    """Its name."""

    bootstrap_servers: Servers | None = None
    """Brokers to ask first. Without them the connection is that of `source.kafka`, with its `tls` and `sasl`."""

    tls: KafkaTlsSettings | None = None
    """Encryption, where `bootstrap_servers` are given."""

    sasl: KafkaSaslSettings | None = None
    """Authentication, where `bootstrap_servers` are given."""

    @model_validator(mode="after")
    def _own_connection(self) -> Self:
        if self.bootstrap_servers is None and (self.tls is not None or self.sasl is not None):
            raise ValueError("tls and sasl go with bootstrap_servers: give those too, or none of them")
        return self

    def doubt(self) -> str | None:
        return _in_the_clear(self.tls, self.sasl)

    def connection(self, source: Section) -> KafkaConnection | None:
        """Return how its brokers are reached; None where neither these settings nor those of the source say so."""
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


class KafkaSettings(KafkaConnection, MessageSettings):
    """Records in topics of Apache Kafka: committed ones alone, each partition in its order."""

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
    """In place of `topic`: a regular expression that whole names of topics match. Those that appear later are read
    from their beginning."""

    start: str | dict[str, NonNegativeInt] = "earliest"
    """Where to start in partitions that the state has no position of: `earliest`, `latest`, an age (`-2h`; s, m, h,
    d), a time (`2026-01-31T12:00:00Z`), or offsets (`{clicks/0: 1200}`; partitions not named start at the earliest).
    Partitions that are added later start at their beginning."""

    on_data_loss: Literal["stop", "skip"] = "stop"
    """What to do where records were deleted before they were read, by retention for one: `stop` with an error that
    names them, or `skip` them and write each gap to the dead letters (reason `lost`). Where they were trained, but a
    kill came before the checkpoint, `skip` goes on from the checkpoint without them. Where brokers lost records that
    the model has, `skip` goes on at the position, without what was written anew at offsets before it."""

    when_behind: WhenBehindSettings | None = None
    """What to leave out where records come faster than they train: nothing by default. Each range that is left out is
    in the journal, so that a resume leaves out the same, and counts in `learnd_records_skipped_total`."""

    group: Annotated[str, Field(min_length=1)] | None = "learnd"
    """The consumer group under which each checkpoint's positions are shown to monitors of lag. They are never read
    back; null: shown nowhere. Daemons that read the same topic show theirs apart only in groups of their own."""

    discover_every_s: PositiveFloat = 10.0
    """How often to look for new partitions, in seconds."""

    max_record_bytes: RecordLimit = MIB
    """A longer value is rejected; the stream goes on with the next record."""

    registry: RegistrySettings | None = None
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
            return f"source.kafka.registry: for Avro alone, but samples.format is {fmt.name}"
        if self.registry is None and fmt.name == "avro" and not fmt.schema:
            return (
                "samples.schema_file is missing: plain Avro values need the schema that they were written by, in a "
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
        """The named topics; none where there is a pattern."""
        return [self.topic] if isinstance(self.topic, str) else self.topic or []
