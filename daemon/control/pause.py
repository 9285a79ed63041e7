"""A pause that a reaction has begun: a file in the state directory, which ends it by being removed.

So it outlives the process, and an operator ends it without knowing which process that is.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from learnd.daemon.errors import StoreError

log = structlog.get_logger()


class Pause:
    """Whether training is to wait. The file says since when, and why."""

    def __init__(self, root: Path) -> None:
        self._path = root / "paused"

    @property
    def lasts(self) -> bool:
        """Whether training is to wait."""
        return self._path.exists()

    def begin(self, reason: str) -> None:
        """Wait from here on. Raises StoreError where the file cannot be written."""
        if self.lasts:
            return
        try:
            self._path.write_text(f"{reason}\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}. Training is not paused.") from error
        log.warning("paused", reason=reason, action=f"remove {self._path} to go on")
