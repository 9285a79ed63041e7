"""Whole files as records: those in a directory and its folders, or of a glob."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import structlog

from learnd.connectors.files.discovery import Listing, all_below, is_away, is_there
from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.settling import Settling
from learnd.connectors.files.splitters import KEPT_BYTES
from learnd.connectors.files.telling import tell_of_nothing
from learnd.daemon.errors import SourceError
from learnd.daemon.values import CONTENT, FOLDER, Defect, Note, Positions, RecordBatch

BATCH_FILES = 256  # small enough that their pixels fit into memory beside those that wait
_BATCH_BYTES = 1 << 24
_PARTITION = "folder"
_POLL_S = 0.1
_DIGEST_BYTES = 8

log = structlog.get_logger()


class _File(NamedTuple):
    """A file: the directory that all names are of, and its name below it."""

    root: str
    name: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.name)  # noqa: PTH118  (there may be a million)


class FolderSource:
    """A `contracts.Source` over whole files: position p is the p-th file. Its key is its name below the path.

    The files that a look at the folders finds come in the order of a hash of their names, so that the folders are mixed
    the same way everywhere; while following, those that later looks find come behind them. A note says which files a
    look has found, which of them were gone when their turn came, and what those that were handed out held. A file is
    known by its path: it is read once.
    """

    repeats = False
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self._path = os.path.normpath(settings.path)
        self._forget()

    def _forget(self) -> None:
        self._files: list[_File] = []  # that were found, in order
        self._known: set[str] = set()  # their paths
        self._noted = 0  # how many of them are in notes
        self._lost: list[int] = []  # the places in notes from which files went since the last one, in turn
        self._told = 0  # how often notes have told of files
        self._digests: dict[int, str] = {}  # of files that notes say were handed out, by position
        self._position = 0
        self._young = 0  # files that may still be written
        self._settling = Settling()
        self._waiting = False  # for the directory of the next file
        self._there = True  # what the path stands for
        self._polled_at = 0.0
        self._listing = Listing(self._path, deep=True) if self._settings.follow else None

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._forget()
        if foreign := sorted(set(positions) - {_PARTITION}):
            raise SourceError(
                f"{', '.join(foreign)}: the state was made from another kind of source; use another state directory."
            )
        self._restore(notes)
        self._position = positions.get(_PARTITION, 0)
        if not self._look() or not (self._files or self._young):
            tell_of_nothing(self._path, follow=self._settings.follow, knows_some=bool(self._files))

    def _restore(self, notes: Sequence[Note]) -> None:
        facts = {int(number): fact for note in notes for number, fact in note.get("current", {}).items()}
        for _, fact in sorted(facts.items()):
            for place in fact["lost"]:
                del self._files[place]
            self._files += [_File(root, name) for root, *names in fact["found"] for name in names]
        for note in notes:
            self._digests.update(zip(count(note.get("from", 0)), note.get("digests", ()), strict=False))
        self._known, self._noted, self._told = {file.path for file in self._files}, len(self._files), len(facts)

    def read(self, timeout_s: float) -> RecordBatch | None:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._listing is not None:
                self._poll(self._listing)
            if (batch := self._next(deadline)) is not None or self._listing is None:
                return batch
            if (left := deadline - time.monotonic()) <= 0:
                return None
            self._listing.wait(left)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch | None]:
        if partition != _PARTITION or end > len(self._files):
            raise SourceError(
                f"{partition}: the journal needs its records from {start} to {end}, but no note says which files those "
                "were. The state directory is incomplete: start afresh in another one."
            )
        self._position = start
        while self._position < end:
            batch = _Batch(self._position)
            while self._position < end and not batch.full:
                file = self._files[self._position]
                content = self._read(file)
                if content is None and self._waits(file):
                    break
                batch.add(file.name, self._as_before(content), self._settings)
                self._position += 1
            if batch.names:
                yield batch.records(None)
            else:
                time.sleep(_POLL_S)
                yield None

    @property
    def live(self) -> bool:
        return self._settings.follow

    @property
    def connected(self) -> bool:
        return not self._waiting and self._there

    @property
    def exhausted(self) -> bool:
        return self._listing is None and self._position >= len(self._files)

    def lag(self) -> Mapping[str, int]:
        return {_PARTITION: len(self._files) - self._position + self._young}

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: the files belong to whoever wrote them."""

    def close(self) -> None:
        if self._listing is not None:
            self._listing.close()

    # Reading

    def _next(self, deadline: float) -> RecordBatch | None:
        """Return the next files, as many as can be read before the deadline, one at least; None if there are none."""
        batch = _Batch(self._position)
        while self._position < len(self._files) and not batch.full:
            file = self._files[self._position]
            content = self._read(file)
            if content is None and self._waits(file):
                break
            if content is None:
                self._leave_out()
                continue
            batch.add(file.name, content, self._settings)
            self._position += 1
            if time.monotonic() >= deadline:
                break
        return batch.records(self._news(batch)) if batch.names else None

    def _news(self, batch: _Batch) -> Note:
        """Return the note of a batch: what it holds, until that has trained, and files that are in no note yet."""
        note: dict[str, Any] = {"until": {_PARTITION: self._position}, "from": batch.start, "digests": batch.digests}
        new = groupby(self._files[self._noted :], attrgetter("root"))
        found = [[root, *(file.name for file in files)] for root, files in new]
        if found or self._lost:
            note["current"] = {str(self._told): {"lost": self._lost, "found": found}}
            self._noted, self._lost, self._told = len(self._files), [], self._told + 1
        return note

    def _read(self, file: _File) -> bytes | None:
        """Return the content of a file, and no more than a byte over the limit; None if it is gone."""
        try:
            with Path(file.path).open("rb") as opened:
                self._waiting, self._there = False, True
                return opened.read(self._settings.max_record_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SourceError(
                f"{file.path} cannot be read: {error.strerror}. Nothing is lost: mend it and start again, to "
                "go on from there."
            ) from error

    def _as_before(self, content: bytes | None) -> bytes:
        """Return the content of a file that was handed out before. Raises SourceError if it is gone, or another one."""
        if content is None or _digest(content) != self._digests.get(self._position):
            raise self._gone("it is gone, or holds other content")
        return content

    def _waits(self, file: _File) -> bool:
        """Return whether to wait for the directory of a file that is not there: what is in it is not gone for good.

        Raises SourceError if it is away and nothing is followed.
        """
        was_waiting, self._waiting = self._waiting, is_away(file.root)
        if self._waiting and not self._settings.follow:
            raise SourceError(
                f"{file.root} is gone or empty, and {len(self._files) - self._position:,} files of it are still to be "
                "read. Nothing is lost: put it back, or mount it, and start again, to go on from there."
            )
        if self._waiting and not was_waiting:
            log.info(
                "files.waiting", path=file.root, reason="it is gone or empty, and files of it are still to be read"
            )
        return self._waiting

    def _leave_out(self) -> None:
        """Leave out a file that is gone before it was read. Raises SourceError unless that may be."""
        if not self._settings.follow and self._settings.when_gone == "stop":
            raise self._gone("it was deleted before it was read (or go on with source.files.when_gone: skip)")
        file = self._files.pop(self._position)
        log.warning("files.vanished", file=file.path, consequence="it is left out")
        self._known.discard(file.path)
        if self._position < self._noted:
            self._noted -= 1
            self._lost.append(self._position)

    def _gone(self, why: str) -> SourceError:
        return SourceError(
            f"{self._files[self._position].path} is needed: {why}. Going on would train another model than this stream "
            "gives; put the file back, or start afresh in another state directory."
        )

    # Looking for files

    def _poll(self, listing: Listing) -> None:
        """Look for new files, unless this was done a moment ago."""
        now = time.monotonic()
        if now - self._polled_at >= _POLL_S and listing.due():
            self._polled_at = now
            self._look()

    def _look(self) -> bool:
        """Take in the files that are new. Return whether there are any files."""
        now = time.monotonic()
        if self._listing is not None:
            self._listing.begin()
        try:
            root, names = all_below(self._path)
        except OSError as error:
            raise SourceError(f"{self._path} cannot be listed: {error.strerror}; mend it") from error
        new = [file for name in names if (file := _File(root, name)).path not in self._known and self._is_text(file)]
        whole = new if self._listing is None else self._whole(new, now)
        self._young = len(new) - len(whole)
        self._there = bool(names) or is_there(self._path)
        self._files += sorted(whole, key=_place)
        self._known.update(file.path for file in whole)
        return bool(names)

    def _whole(self, files: Sequence[_File], now: float) -> Sequence[_File]:
        whole = self._settling.whole((file.path for file in files), now)
        return [file for file in files if file.path in whole]

    def _is_text(self, file: _File) -> bool:
        """Whether a name can be written down. Another one is told of once, and left out."""
        try:
            file.name.encode()
        except UnicodeEncodeError:
            self._known.add(file.path)
            log.warning("files.unnamed", file=repr(file.name), consequence="its name is no UTF-8: it is left out")
            return False
        return True


class _Batch:
    """Files that are handed out together."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.names: list[str] = []
        self.digests: list[str] = []
        self._contents: list[bytes] = []
        self._defects: dict[int, Defect] = {}
        self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self.names) >= BATCH_FILES or self._bytes >= _BATCH_BYTES

    def add(self, name: str, content: bytes, settings: FilesSettings) -> None:
        self.digests.append(_digest(content))
        self._bytes += len(content)
        if len(content) > settings.max_record_bytes:
            limit = f"the file is over the limit of {settings.max_record_bytes} bytes (source.files.max_record_bytes)"
            self._defects[len(self.names)] = Defect("oversized", limit)
            content = content[:KEPT_BYTES]
        self.names.append(name)
        self._contents.append(content)

    def records(self, note: Note | None) -> RecordBatch:
        return RecordBatch(
            _PARTITION,
            self.start,
            np.arange(self.start + 1, self.start + 1 + len(self.names)),
            self._contents,
            columns=(CONTENT, FOLDER),
            keys=[name.encode() for name in self.names],
            defects=self._defects or None,
            note=note,
            kept_bytes=KEPT_BYTES,
        )


def _place(file: _File) -> bytes:
    """Return what to sort by. It has nothing in common with the hash that chooses what is held out."""
    return hashlib.sha256(file.name.encode()).digest()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()
