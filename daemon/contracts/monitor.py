"""Who watches the loop."""

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
    """Who watches the loop: metrics, health, a progress display. Must never raise, nor change what is trained."""

    def state(self, word: str) -> None:
        """The daemon is now `starting`, `restoring`, `consuming`, `paused`, `finishing`, `stopped` or `failed`."""

    def alive(self) -> None:
        """The loop went round, with or without a call."""

    def call_done(self, call: Call, report: Report, seconds: float) -> None:
        """A call has run, in `seconds`."""

    def resumed(self, manifest: Facts, samples: int, rejected: int) -> None:
        """A checkpoint was taken up, with so many samples through updates and so many rejected records before it."""

    def happened(self, events: Sequence[Event]) -> None:
        """Scores were published, drifts found, reactions made."""

    def checkpoint_begun(self, stall_seconds: float) -> None:
        """The loop stood still that long for the copy of the state."""

    def checkpoint_done(self, manifest: Facts, seconds: float, size: int, error: Exception | None) -> None:
        """A checkpoint of `size` bytes is on disk; or, with an error, is not."""
