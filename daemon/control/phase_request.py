"""An operator's request for the next phase of the training: a file in the state directory.

The daemon writes it into the journal with the next call, so that a resume begins the phase at the same record, and
removes the file then. Each request has an id: a daemon that is killed between the two finds the file again, and
knows that it has done what it asks for. It also names the phase that it is to end: one that has ended meanwhile
does not take the next one with it.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import structlog

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.foundation.files import replace_synced

log = structlog.get_logger()


class PhaseRequest:
    """The request in the state directory `root`, if there is one."""

    def __init__(self, root: Path) -> None:
        self.path = root / "next-phase"

    def write(self, phase: int) -> None:
        """Ask for the phase after `phase`. Raises StoreError."""
        try:
            replace_synced(self.path, json.dumps({"id": secrets.token_hex(8), "after": phase}).encode())
        except OSError as error:
            raise StoreError(f"{self.path} cannot be written: {error.strerror}. Nothing was asked for.") from error

    def pending(self, last: str | None, phase: int) -> str | None:
        """Return the id of a request to end `phase`; None where there is none.

        One that is of no use is removed: `last`, which was done already, and one to end another phase.
        """
        if not self.path.exists():
            return None
        request, after = self._read()
        if request is not None and request != last and after == phase:
            return request
        if request is None or request != last:
            log.warning("next_phase_refused", asked_after=after, phase=phase, consequence="the phase goes on")
        self.done()
        return None

    def done(self) -> None:
        """Remove the request: it is in the journal."""
        failpoint("phase_request.done.before")
        self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[str | None, int | None]:
        try:
            found = json.loads(self.path.read_bytes())
            return str(found["id"]), int(found["after"])
        except (ValueError, TypeError, KeyError):  # somebody else's file
            return None, None
