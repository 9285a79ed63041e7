"""What turns records into samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from learnd.daemon.values import (
    Block,
    RecordBatch,
)


class Decoder(Protocol):
    """Turns records into samples. Must never raise on a record, nor let a non-finite value through."""

    def decode(self, batch: RecordBatch) -> Block: ...

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        """Return why no record under these columns can be a sample: a problem of the settings for each that lacks."""

    def missing_fields(self, record: bytes) -> list[str]:
        """Return the same for a rejected record; nothing where it does not tell."""
