"""What watches the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from learnd.daemon.values import (
    Call,
    Event,
    Facts,
    Report,
)


class Monitor(Protocol):
    """Watches the loop: metrics, health, a progress display. Must never raise, and never change what is trained."""

    def state(self, word: str) -> None:
        """The daemon is now `starting`, `restoring`, `consuming`, `paused`, `finishing`, `stopped` or `failed`."""

    def alive(self) -> None:
        """The loop made a turn, with or without a call."""

    def call_done(self, call: Call, report: Report, seconds: float) -> None:
        """A call was run; it took `seconds`."""

    def resumed(self, manifest: Facts, samples: int, rejected: int) -> None:
        """The run resumed from a checkpoint: `samples` went through updates before it, `rejected` records did not."""

    def happened(self, events: Sequence[Event]) -> None:
        """Scores were published, drifts found or reactions made."""

    def checkpoint_begun(self, stall_seconds: float) -> None:
        """The loop was stopped for `stall_seconds` to copy the state."""

    def checkpoint_done(self, manifest: Facts, seconds: float, size: int, error: Exception | None) -> None:
        """A checkpoint of `size` bytes is on disk, or could not be written if there is an `error`."""

    def journal_blocked(self, why: str | None) -> None:
        """Why the entry of the next call cannot be written, so that training waits for room; None once it was."""
