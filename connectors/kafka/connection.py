"""Settings of how Kafka brokers and a schema registry are reached."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from learnd.daemon.foundation.section import Section

_SERVER = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s\[\]:/@,]+):(\d{1,5})")


def _hosts(given: str | list[str]) -> list[str]:
    return [server.strip() for server in (given.split(",") if isinstance(given, str) else given)]


def _reachable(given: str | list[str]) -> str | list[str]:
    """Raise ValueError if a server is not `host:port`: a client would look for it forever."""
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
    """The certificates of the authorities to trust, in PEM; without it, those that the system trusts."""

    certificate: Path | None = None
    """The client's own certificate and those up to its authority, in PEM, if the broker asks for one."""

    key: Path | None = None
    """The private key of `certificate`, in PEM."""

    key_password: SecretStr | None = None
    """The password of the private key. From a file: `key_password_file`."""

    check_hostname: bool = True
    """Whether the broker's certificate must be for the host name that the client connects to."""

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both, or neither")
        return self


class KafkaSaslSettings(Section):
    """How the daemon authenticates to the broker."""

    reads: ClassVar[tuple[str, ...]] = ("token_path",)

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    """The mechanism. PLAIN sends the password as it is: use it only with `tls`."""

    username: str | None = None
    """The name, for PLAIN and SCRAM."""

    password: SecretStr | None = None
    """The password, for PLAIN and SCRAM. From a file: `password_file`."""

    token_path: Path | None = None
    """For OAUTHBEARER: a file with the token, read again for each connection, so that it can be renewed."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ["token_path"] if self.mechanism == "OAUTHBEARER" else ["username", "password"]
        for name in ("username", "password", "token_path"):
            if (getattr(self, name) is None) == (name in needed):
                raise ValueError(f"{self.mechanism} takes {' and '.join(needed)}, and nothing else")
        return self


class SchemaRegistrySettings(Section):
    """A schema registry with Confluent's interface, which holds the schemas that Avro values were written with."""

    reads: ClassVar[tuple[str, ...]] = ("ca",)

    url: Annotated[str, Field(pattern=r"^https?://[^/]")]
    """Its address: `http://registry:8081`, or with a path (Apicurio: `.../apis/ccompat/v7`)."""

    username: str | None = None
    """The name, if it asks for one (for Confluent Cloud: the API key)."""

    password: SecretStr | None = None
    """The password. From a file: `password_file`."""

    ca: Path | None = None
    """The certificates of the authorities to trust, in PEM; without it, those that the system trusts."""

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        """The address appears in messages and in the state directory."""
        if "@" in urlsplit(value).netloc:
            raise ValueError("give the name and the password as username and password_file beside it, not in the url")
        return value

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: give both, or neither")
        return self


def sends_password_in_clear(tls: KafkaTlsSettings | None, sasl: KafkaSaslSettings | None) -> str | None:
    """Return a warning if the password can be read on the way to the brokers."""
    shown = tls is None and sasl is not None and sasl.mechanism == "PLAIN"
    return "PLAIN without tls shows the password to whoever listens on the way to the brokers" if shown else None


class KafkaConnection(Section):
    """How brokers are reached."""

    bootstrap_servers: Servers = "localhost:9092"
    """The first brokers to ask, as `host:port`: a list, or a text with commas."""

    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """The library that talks to them. `confluent` (confluent-kafka) is several times as fast, and comes with
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
        """The first brokers to ask."""
        return _hosts(self.bootstrap_servers)

    @property
    def security_protocol(self) -> str:
        """Kafka's name for how the connection is secured."""
        return ("SASL_" if self.sasl else "") + ("SSL" if self.tls else "PLAINTEXT")

    def doubt(self) -> str | None:
        return sends_password_in_clear(self.tls, self.sasl)
