"""The history: a JSON line for each score and event, in the order of the samples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from daemon.errors import StoreError
from daemon.failpoints import failpoint
from daemon.values import Event

_BLOCK = 65_536


class History:
    """An append-only file of JSON lines, of which a resume drops what came after the checkpoint (a `contracts.Output`).

    Must never hold a torn line before a whole one: whatever is written starts behind a line's end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._end = 0
        self.missing = 0
        """Bytes before the mark that were no longer there at `open`: someone cut or removed the file."""

    def open(self, mark: int) -> None:
        """Go on behind the first `mark` bytes, which `mark` returned before the checkpoint; drop what follows them.

        Where someone cut the file, its whole lines stay, and the history has a gap: see `missing`. Raises StoreError.
        """
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._end = _last_line_end(self._file, min(mark, os.fstat(self._file).st_size))
            os.ftruncate(self._file, self._end)
        except OSError as error:
            raise self._failure("opened", error) from error
        self.missing = mark - self._end

    def write(self, events: Iterable[Event], time_s: float) -> None:
        """Append a line for each event, all or none. `time_s` counts from 1970.

        Raises StoreError; then none of the events is in the file, and the next call starts on a clean line.
        """
        time = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = b"".join(_line(event, time) for event in events)
        try:
            failpoint("history.write")
            self._append(lines)
        except OSError as error:
            with suppress(OSError):  # whatever stays behind the end is overwritten by the next line
                os.ftruncate(self._file, self._end)
            raise self._failure("written", error) from error

    def mark(self) -> int:
        """Return where the last line ends; the system has all of them."""
        return self._end

    def sync(self) -> None:
        """Make everything up to the last mark durable. Called from another thread. Raises StoreError."""
        try:
            failpoint("history.sync")
            os.fsync(self._file)
        except OSError as error:
            raise self._failure("synced", error) from error

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, lines: bytes) -> None:
        end = self._end
        rest = memoryview(lines)
        while rest:
            written = os.pwrite(self._file, rest, end)
            end += written
            rest = rest[written:]
        self._end = end

    def _failure(self, action: str, error: OSError) -> StoreError:
        return StoreError(
            f"history {self._path} cannot be {action}: {error.strerror}; scores and events are missing from it "
            "while this lasts; free space or repair the volume that holds the state directory"
        )


def _line(event: Event, time: str) -> bytes:
    line = {"samples": event.samples, "event": event.kind, "time": time, **event.data}
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _last_line_end(file: int, size: int) -> int:
    """Return the offset behind the last line that ends within the first `size` bytes."""
    while size:
        start = max(0, size - _BLOCK)
        newline = os.pread(file, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0
