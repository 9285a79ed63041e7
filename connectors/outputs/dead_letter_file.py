"""Rejected records as JSON lines in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from learnd.connectors.outputs.readable import readable
from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Rejection


class DeadLetterFile(AppendFile):
    """A `contracts.DeadLetters`: one JSON object a line.

    Bytes are written as text under `value`, or as `value_base64` if they are not UTF-8; keys and headers likewise.

    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "dead_letters")

    def write(self, rejections: Iterable[Rejection]) -> None:
        """Append a line for each rejection."""
        if lines := b"".join(msgspec.json.encode(_letter(rejection)) + b"\n" for rejection in rejections):
            self.append(lines)


def _letter(rejection: Rejection) -> dict[str, Any]:
    letter: dict[str, Any] = {
        "reason": rejection.defect.reason,
        "detail": rejection.defect.detail,
        "partition": rejection.partition,
        "start": rejection.start,
        "end": rejection.end,
        **readable("value", rejection.value),
    }
    if rejection.key is not None:
        letter |= readable("key", rejection.key)
    if rejection.headers:
        letter["headers"] = [{"name": name, **readable("value", value)} for name, value in rejection.headers]
    if rejection.timestamp_s is not None:
        letter["timestamp"] = rejection.timestamp_s
    return letter
