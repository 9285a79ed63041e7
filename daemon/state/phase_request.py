"""An operator's request for the next phase of the training: a file in the state directory.

The daemon writes it into the journal with the next call, so that a resume begins the phase at the same record, and
removes the file then. Each request has an id: a daemon that is killed between the two finds the file again, and
knows that it has done what it asks for.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from daemon.errors import StoreError
from daemon.failpoints import failpoint
from daemon.state.files import replace_synced


class PhaseRequest:
    """The request in the state directory `root`, if there is one."""

    def __init__(self, root: Path) -> None:
        self._path = root / "next-phase"

    def write(self) -> None:
        """Ask for the next phase. Raises StoreError."""
        try:
            replace_synced(self._path, secrets.token_hex(8).encode())
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}. Nothing was asked for.") from error

    def pending(self, last: str | None) -> str | None:
        """Return the id of a request other than `last`, the one that was done last; None where there is none."""
        if not self._path.exists():
            return None
        request = self._path.read_text("utf-8").strip()
        if request != last:
            return request
        self.done()
        return None

    def done(self) -> None:
        """Remove the request: it is in the journal."""
        failpoint("phase_request.done.before")
        self._path.unlink(missing_ok=True)
