"""When to save besides the usual times: because somebody asked for it."""

from __future__ import annotations


class SaveRequest:
    """Somebody wants a checkpoint as soon as none is being written, perhaps one that is kept for good."""

    def __init__(self) -> None:
        self.wanted = False
        self.pin = False

    def ask(self, *, pin: bool = False) -> None:
        self.wanted = True
        self.pin = self.pin or pin

    def take(self) -> bool:
        """Take the request up; return whether to pin."""
        pin, self.wanted, self.pin = self.pin, False, False
        return pin
