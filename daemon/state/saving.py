"""Requests to save a checkpoint before the usual time."""

from __future__ import annotations


class SaveRequest:
    """A request for a checkpoint as soon as no other is being written. With `pin`, it is kept forever."""

    def __init__(self) -> None:
        self.wanted = False
        self.pin = False

    def ask(self, *, pin: bool = False) -> None:
        self.wanted = True
        self.pin = self.pin or pin

    def take(self) -> bool:
        """Clear the request; return whether to pin the checkpoint."""
        pin, self.wanted, self.pin = self.pin, False, False
        return pin
