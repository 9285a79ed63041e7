"""Settings of what watches and commands the daemon: HTTP and logs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import field_validator

from learnd.daemon.foundation.section import Section


def split_address(listen: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[v6 address]:port`. Raises ValueError on another form."""
    match = re.fullmatch(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>\d{1,5})", listen)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{listen!r} is not an address: write host:port, such as 127.0.0.1:9464")
    return match["v6"] or match["host"], int(match["port"])


class TlsSettings(Section):
    """HTTPS in the place of HTTP. Files that are renewed are taken up within seconds."""

    reads: ClassVar[tuple[str, ...]] = ("certificate", "key")

    certificate: Path
    """The certificate, and those that lead from it to an authority, in PEM form."""

    key: Path
    """Its private key, in PEM form, without a password."""


class HttpSettings(Section):
    """Metrics, health, status, a page to look at, and commands, over HTTP."""

    harmless: ClassVar[Mapping[str, str]] = {
        "listen": "it shows what is learned, and changes nothing",
        "token_file": "who may command; the commands themselves are in the journal",
        "tls": "how it is reached",
    }
    live: ClassVar[Mapping[str, str]] = {"token_file": "for the next command"}
    reads: ClassVar[tuple[str, ...]] = ("token_file",)

    listen: str | None = "127.0.0.1:9464"
    """Where to listen, as `host:port`. Port 0 takes a free one and logs it; `null` switches HTTP off.
    Whoever reaches the port can read everything that is shown, so keep it to 127.0.0.1 or a network that you trust."""

    token_file: Path | None = None
    """A file with the token, of 16 characters or more, that each command must carry, as `Authorization: Bearer TOKEN`.
    Without this setting nobody can command over HTTP. The file is read anew for each command."""

    tls: TlsSettings | None = None
    """HTTPS in the place of HTTP."""

    @field_validator("listen")
    @classmethod
    def _is_address(cls, listen: str | None) -> str | None:
        if listen is not None:
            split_address(listen)
        return listen


class LogSettings(Section):
    """What is logged to standard error, and how."""

    harmless: ClassVar[Mapping[str, str]] = {"level": "what is written to the log", "format": "how it is written"}
    live: ClassVar[Mapping[str, str]] = {"level": "at once", "format": "at once"}

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is written."""

    format: Literal["auto", "human", "json"] = "auto"
    """`human` lines, or one `json` object a line. `auto`: human on a terminal, JSON elsewhere."""
