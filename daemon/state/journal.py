"""The journal: what each call consumed, written before the call runs, so that a resume repeats it call by call.

A segment, `journal/<epoch>-<checkpoint>.log`, holds the calls after one checkpoint, one line each, with a checksum.
Its first line has the number of its first call. From that call on, it overrides earlier segments: a daemon that was
replaced by another may have written on for a while. The file's space is allocated in advance, so that a full disk stops
neither the journal nor training.

The journal is not synced with each call. After a kill, everything written is still there. A power cut may lose the last
entries together with the training they describe; their records are then cut into calls again from the source.
"""

from __future__ import annotations

import errno
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.append_file import write_at
from learnd.daemon.foundation.failpoints import failpoint
from learnd.daemon.values import Command, Facts, JournalEntry, Span, canonical_json

log = structlog.get_logger()

_ALLOCATED = 1 << 20
_RETRY_S = 1.0
_NEVER = 1 << 62  # no call has this number


class Journal:
    """The journal in the directory `root`. It has one writer, and is read only at the start."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._descriptor: int | None = None
        self._offset = 0
        self._size = 0
        self._full = False

    def read(self, first_call: int) -> list[JournalEntry]:
        """Return the calls from number `first_call` on, in order: those after a checkpoint.

        They end before the first missing call, since calls after a gap must not be trained. The records of lost calls
        are still in the source, and are cut into calls again. Raises StoreError if there is no checkpoint and the
        journal does not begin with the first call: then part of the directory is missing.
        """
        entries: list[JournalEntry] = []
        for path in _segments(self._root):
            first, tail = _read_segment(path)
            entries = [entry for entry in entries if entry.number < first] + tail
        entries = [entry for entry in entries if entry.number >= first_call]
        if entries and first_call == 0 != entries[0].number:
            raise StoreError(
                f"{self._root}: the journal begins with call {entries[0].number}; the checkpoint before it is missing. "
                "Nothing was changed. Restore the directory from a backup, or give a new --state directory."
            )
        whole = [entry for index, entry in enumerate(entries) if entry.number == first_call + index]
        if len(whole) < len(entries):
            log.error(
                "journal_gap",
                directory=str(self._root),
                missing_call=first_call + len(whole),
                consequence="the records of this call and later ones are read from the source again",
            )
        return whole

    @property
    def highest_epoch(self) -> int:
        """The highest epoch that has written here; 0 if there is none."""
        return max((int(path.stem.partition("-")[0]) for path in _segments(self._root)), default=0)

    def start_segment(self, sequence: int, epoch: int, first_call: int, trained_with: Facts) -> None:
        """Start a new segment, for the calls after checkpoint `sequence`. Raises OSError."""
        failpoint("journal.segment.before")
        self._root.mkdir(parents=True, exist_ok=True)
        path = self._root / f"{epoch:06d}-{sequence:08d}.log"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, _ALLOCATED)
            end = write_at(descriptor, _line({"first": first_call, "with": trained_with}), 0)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        self.close()
        self._descriptor, self._offset, self._size = descriptor, end, _ALLOCATED
        failpoint("journal.segment.after")

    def append(self, entry: JournalEntry, give_up: Callable[[], bool]) -> None:
        """Write the entry of a call that is about to run.

        If the disk is full, wait for room: a call without an entry must not run. An entry with commands is synced: they
        have no source to come from again. Raises StoreError if the entry cannot be written for another reason, or if
        `give_up()` becomes true.
        """
        failpoint("journal.append.before")
        line = _line(_to_json(entry))
        while True:
            try:
                self._write(line, synced=bool(entry.commands))
                self._full = False
                break
            except OSError as error:
                self._wait_for_room(error, give_up)
        failpoint("journal.append.after")

    def prune(self, first_call: int) -> None:
        """Remove the segments whose calls all come before `first_call`, but never the current one."""
        paths = _segments(self._root)
        for path, following in pairwise(paths):
            if _first_call(following) <= first_call:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the segment, and free the space that was allocated but not used."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, self._offset)
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, line: bytes, *, synced: bool) -> None:
        assert self._descriptor is not None, "start_segment comes first"
        failpoint("journal.write")
        if self._offset + len(line) > self._size:
            os.posix_fallocate(self._descriptor, self._size, max(_ALLOCATED, len(line)))
            self._size += max(_ALLOCATED, len(line))
        end = write_at(self._descriptor, line, self._offset)
        if synced:
            os.fdatasync(self._descriptor)
        self._offset = end

    def _wait_for_room(self, error: OSError, give_up: Callable[[], bool]) -> None:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT} or give_up():
            raise StoreError(
                f"{self._root}: the journal cannot be written: {error.strerror}. The call did not run; earlier calls "
                "are kept. Make room or repair the disk, then start again: training resumes from there."
            ) from error
        if not self._full:
            log.error("journal_full", directory=str(self._root), consequence="training waits", action="make room")
        self._full = True
        time.sleep(_RETRY_S)


def _segments(root: Path) -> list[Path]:
    """Return the segments in the order they were written: by epoch, then by checkpoint."""
    return sorted(root.glob("*.log"))


def _line(value: dict[str, Any]) -> bytes:
    body = canonical_json(value)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _to_json(entry: JournalEntry) -> dict[str, Any]:
    return {
        "n": entry.number,
        "s": [[span.partition, span.start, span.end] for span in entry.spans],
        "u": entry.updates,
        "b": entry.rows,
        "i": [dict(note) for note in entry.notes],
        **({"c": [asdict(command) for command in entry.commands]} if entry.commands else {}),
    }


def _from_json(value: dict[str, Any], trained_with: Facts) -> JournalEntry:
    spans = tuple(Span(*span) for span in value["s"])
    commands = tuple(Command(**command) for command in value.get("c", ()))
    return JournalEntry(value["n"], spans, value["u"], value["b"], tuple(value["i"]), commands, trained_with)


def _read_segment(path: Path) -> tuple[int, list[JournalEntry]]:
    """Return the number of the first call, and the calls up to the first line that does not verify."""
    lines = list(_verified_lines(path))
    if not lines:
        return _NEVER, []
    return lines[0]["first"], [_from_json(line, lines[0]["with"]) for line in lines[1:]]


def _first_call(path: Path) -> int:
    """Return the number of a segment's first call, from its first line alone."""
    with path.open("rb") as file:
        line = file.readline().rstrip(b"\0")  # a kill may have left the allocated space alone
    lines = [line.rstrip(b"\n"), b""] if line else []
    return next((line["first"] for line in _verified(path, lines)), _NEVER)


def _verified_lines(path: Path) -> Iterator[dict[str, Any]]:
    return _verified(path, path.read_bytes().rstrip(b"\0").split(b"\n"))


def _verified(path: Path, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the content of the lines, up to the first that does not verify. The last item follows the last newline."""
    for index, line in enumerate(lines[:-1]):
        checksum, _, body = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(body):
            log.error(
                "journal_damaged",
                file=str(path),
                line=index + 1,
                lost=len(lines) - 1 - index,
                consequence="the records of these calls are read from the source again",
            )
            return
        yield json.loads(body)
