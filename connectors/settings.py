"""Settings of the sources and of the dead letters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator

from connectors.kafka.starts import parse_start, split_name
from daemon.section import Section

RecordLimit = Annotated[int, Field(ge=1024, le=1 << 30)]
_MIB = 1 << 20


class FilesSettings(Section):
    """Records in files: JSON lines or CSV, plain, `.gz` or `.zst`; or Parquet."""

    path: Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"})]
    """A file, a glob (`logs/*.jsonl`, `logs/**/*.csv.gz`), or a directory. Files are read in name order, one after the
    other; in a directory those whose name starts with `.` or `_` are left out."""

    follow: bool = False
    """False: read what is there to its end. True: follow growing files like `tail -F`, through rotation and
    truncation, and watch a directory or glob for new files. A glob that covers the rotated names as well
    (`app.jsonl*`) also finds files that were rotated twice while nothing ran."""

    max_record_bytes: RecordLimit = _MIB
    """A longer line is rejected; the stream goes on with the next one."""

    when_gone: Literal["stop", "skip"] = "stop"
    """What to do at a start where a file that was read in part is no longer there: `stop` with an error, or `skip` what
    was unread of it."""


class StdinSettings(Section):
    """Records piped into the daemon. They are spooled to the state directory first, so that none is lost."""

    max_record_bytes: RecordLimit = _MIB
    """A longer line is rejected; the stream goes on with the next one."""


class KafkaTlsSettings(Section):
    """Encryption, and how the two ends know each other. `tls: {}` trusts what the system trusts."""

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


class KafkaSettings(Section):
    """Records in topics of Apache Kafka: committed ones alone, each partition in its order."""

    access: ClassVar[tuple[str, ...]] = ("bootstrap_servers", "tls", "sasl")

    bootstrap_servers: str | list[str] = "localhost:9092"
    """Brokers to ask first, as `host:port`: a list, or a text with commas."""

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
    names them, or `skip` them and write each gap to the dead letters (reason `lost`)."""

    group: str | None = "learnd"
    """The consumer group under which each checkpoint's positions are shown to monitors of lag. They are never read
    back; null: shown nowhere."""

    discover_every_s: PositiveFloat = 10.0
    """How often to look for new partitions, in seconds."""

    max_record_bytes: RecordLimit = _MIB
    """A longer value is rejected; the stream goes on with the next record."""

    tls: KafkaTlsSettings | None = None
    """Encryption; without it the connection is plain."""

    sasl: KafkaSaslSettings | None = None
    """Authentication by name and password, or by token."""

    @field_validator("start")
    @classmethod
    def _known_start(cls, value: str | dict[str, int]) -> str | dict[str, int]:
        parse_start(value)
        for name in value if isinstance(value, dict) else ():
            split_name(name)
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
        return self

    @property
    def servers(self) -> list[str]:
        """The brokers to ask first."""
        given = self.bootstrap_servers
        return [server.strip() for server in (given.split(",") if isinstance(given, str) else given)]

    @property
    def topics(self) -> Sequence[str]:
        """The named topics; none where there is a pattern."""
        return [self.topic] if isinstance(self.topic, str) else self.topic or []


class DeadLetterSettings(Section):
    """Where rejected records go, and how many of them are too many."""

    file: Path | None = None
    """The file of rejected records, as JSON lines; `dead-letters.jsonl` in the state directory by default."""

    max_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Stop (exit code 65) when more than this share of the last `window` records was rejected."""

    window: PositiveInt = 1000
    """Records over which the share of rejected ones is taken."""
