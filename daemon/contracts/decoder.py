"""From records to samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from learnd.daemon.values import (
    Block,
    Past,
    RecordBatch,
)


class Decoder(Protocol):
    """Turns records into samples. Must never raise on a record, nor let a non-finite value through."""

    def begin(self, past: Past) -> None:
        """Go on behind the records of which this is left. Forget all others."""

    def decode(self, batch: RecordBatch) -> Block: ...

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        """Return a settings problem for each needed column that is missing, without which no record can be a sample."""

    def missing_fields(self, record: bytes) -> list[str]:
        """Return a settings problem for each needed field that a rejected record lacks; none if that cannot be told."""
