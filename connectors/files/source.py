"""Records in files, read one file after the other in the order in which they were found."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.files.discovery import Listing, matching, nothing_there
from learnd.connectors.files.identity import Identity, find_copy
from learnd.connectors.files.partition import FilePartition, ReplacedError, lag_of, noted_partitions
from learnd.connectors.files.settings import FilesSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_POLL_S = 0.1  # how often to look at the names, even while there is enough to read: a file may rotate twice
_QUIET_S = 5.0
_OPEN_FILES = 64

log = structlog.get_logger()


class FilesSource:
    """A `contracts.Source` over files; a partition is a file, `file-0` the first one that held a record.

    A file is known by its inode and content, not by its name: renamed, it stays the same partition; other content
    under the same name is another one. While following, each file that was found stays watched, since the process
    that writes it may go on after a rotation. Its last line waits for a line feed until its successor under the same
    name has content, or until a later file exists and this one has not been written for five seconds.
    """

    connected = True
    lag_unit: Literal["records", "bytes"] = "bytes"

    def __init__(self, settings: FilesSettings, fmt: RecordFormat, _state: Path | None = None) -> None:
        self._settings = settings
        self._format = fmt
        self._forget()

    def _forget(self) -> None:
        self._files: list[FilePartition] = []  # in order of discovery
        self._by_inode: dict[tuple[int, int], FilePartition] = {}
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}  # size and time of change at the last listing
        self._ready: deque[FilePartition] = deque()  # may have something to read, in order
        self._open: deque[FilePartition] = deque()  # read to their end so far, the longest ago first
        self._next_ordinal = 0
        self._polled_at = 0.0
        self._listing = Listing(self._settings.path) if self._settings.follow else None

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._forget()
        self._restore(positions, notes)
        files = matching(self._settings.path)
        if not files:
            self._find_nothing()
        self._discover(files)

    def read(self, timeout_s: float) -> RecordBatch | None:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._listing is not None:
                self._poll(self._listing)
            batch = self._next(deadline)
            if batch is not None or self._listing is None:
                return batch
            self._polled_at = 0.0
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._listing.wait(left)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        file = next((file for file in self._files if file.name == partition), None)
        if file is None:
            raise SourceError(
                f"{partition}: the journal needs its records from offset {start} to {end}, but no note says which file "
                "that was. The state directory is incomplete: start afresh in another one."
            )
        try:
            yield from file.read_range(start, end)
        except (ReplacedError, FileNotFoundError) as error:
            raise file.gone(start, "it is gone, or holds other content") from error

    @property
    def live(self) -> bool:
        return self._listing is not None

    @property
    def exhausted(self) -> bool:
        return self._listing is None and not self._ready

    def lag(self) -> Mapping[str, int]:
        return lag_of((*self._open, *self._ready), self._next_ordinal)

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: the files belong to whoever wrote them."""

    def close(self) -> None:
        for file in self._files:
            file.close()
        if self._listing is not None:
            self._listing.close()

    # Restarting

    def _find_nothing(self) -> None:
        """Handle that there is no file under the path. Raises SourceError unless there was one, or one may come."""
        why = nothing_there(self._settings.path)
        if self._settings.follow:
            log.info("files.waiting", path=self._settings.path, reason=why)
        elif self._files:
            log.warning("files.none", path=self._settings.path, reason=why, consequence="nothing more can be read")
        else:
            raise SourceError(
                f"source.files.path {self._settings.path}: {why}, so there is nothing to read. "
                "Correct the path, or wait for it with `follow: true`: --set source.files.follow=true."
            )

    def _restore(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Find the files again that the notes name."""
        for noted in noted_partitions(notes, positions, self._format, self._settings.max_record_bytes):
            self._append(noted)
            self._next_ordinal = (noted.ordinal or 0) + 1
        unknown = sorted(set(positions) - {file.name for file in self._files})
        if unknown:
            raise SourceError(
                f"{', '.join(unknown)}: the state holds a position but no note says which file that was. It was made "
                "from another kind of source, or is incomplete: use another state directory."
            )
        matched = matching(self._settings.path)
        last_of_inode = {file.identity.key: file for file in self._files}
        missed = []
        for file in self._files:
            replaced = last_of_inode[file.identity.key] is not file
            if not file.locate(matched):
                missed.append(file)
                self._miss(file, replaced)
            elif not replaced:
                self._resume(file)
        self._tell_what_is_other(missed, matched)

    def _tell_what_is_other(self, missed: Sequence[FilePartition], matched: Sequence[str]) -> None:
        """Warn if what comes next may have trained already: other content under a known name, or other files."""
        there = {file.path for file in self._files if file not in missed}
        last_of_name = {file.first_path: file for file in self._files}
        replaced = [
            file
            for file in missed
            if file is last_of_name[file.first_path] and file.first_path in matched and file.first_path not in there
        ]
        for file in replaced:
            log.warning(
                "files.replaced",
                file=file.first_path,
                consequence=f"the earlier file is gone; {file.amount} were read and stay in the model. The file that "
                "is there now trains from its start",
            )
        if matched and self._files and not replaced and there.isdisjoint(matched):
            last = self._files[-1]
            log.warning(
                "files.others",
                path=self._settings.path,
                consequence=f"none of these files was read before; the last one that was is {last.first_path} "
                f"({last.amount}). They train from their start",
            )

    def _resume(self, file: FilePartition) -> None:
        status = Path(file.path).stat()
        self._by_inode[file.identity.key] = file
        self._seen[file.identity.key] = status.st_size, status.st_mtime_ns
        if not file.known_complete or file.changed_since_end():
            self._enqueue(file)

    def _miss(self, file: FilePartition, replaced: bool) -> None:
        """Handle a file that is not found any more: nothing to do if all of it was read, else records are lost."""
        if replaced or file is not self._files[-1] or file.known_complete:
            return  # a later file was begun, so this one had been read to its end
        if self._settings.follow and self._was_truncated(file):
            self._replace(file)
        elif self._settings.when_gone == "skip":
            log.warning("files.gone", file=file.first_path, position=file.position, consequence="the rest is skipped")
        else:
            raise SourceError(
                f"{file.first_path} ({file.name}) was read up to offset {file.position}, and is now gone or holds "
                "other content: what was written after that offset would be missing from the model. Put the file "
                "back (under any name in its directory), or give up the rest with source.files.when_gone: skip."
            )

    def _was_truncated(self, file: FilePartition) -> bool:
        """Whether it is the same file with other content, as copytruncate leaves it."""
        try:
            return Path(file.path).stat().st_ino == file.identity.inode
        except OSError:
            return False

    # Reading

    def _next(self, deadline: float) -> RecordBatch | None:
        while self._ready:
            file = self._ready[0]
            try:
                batch = file.read(self._is_final(file), deadline, self._next_ordinal)
            except ReplacedError:
                self._ready.popleft()
                self._replace(file)
                continue
            except FileNotFoundError:
                self._ready.popleft()
                self._vanish(file)
                continue
            if batch is not None:
                self._next_ordinal = max(self._next_ordinal, (file.ordinal or 0) + 1)
                return batch
            if not file.drained:
                return None
            if not self._seal(file):
                self._ready.popleft()
                self._park(file)
        return None

    def _is_final(self, file: FilePartition) -> bool:
        return self._listing is None or file.sealed

    def _park(self, file: FilePartition) -> None:
        """Keep a followed file open for what is still written to it; close it if nothing is followed."""
        if self._listing is None:
            file.close()
            return
        self._open.append(file)
        if len(self._open) > _OPEN_FILES:
            self._open.popleft().close()

    def _replace(self, file: FilePartition) -> None:
        """Go on with the copy that was made before a file was truncated, if there is one, then with its new content."""
        if self._listing is None:
            raise file.gone(file.position, "it was truncated or overwritten while it was being read")
        file.close()
        key = file.identity.key
        self._by_inode.pop(key, None)
        copy = find_copy(file.identity, file.path, file.position, {inode for _, inode in self._by_inode})
        consequence = f"reading on in {copy}" if copy else "the unread rest of it is lost; its new content comes next"
        log.warning("files.truncated", file=file.path, position=file.position, consequence=consequence)
        if copy is not None:
            file.move(copy)
            self._resume(file)
            file.sealed = True
        self._seen.pop(key, None)
        self._discover(matching(self._settings.path))

    def _vanish(self, file: FilePartition) -> None:
        """Handle a file that was renamed or deleted after it was listed and before it was opened."""
        if self._listing is None:
            raise file.gone(file.position, "it was deleted before it was read")
        log.warning("files.vanished", file=file.path, consequence="its records are lost unless it appears again")
        self._by_inode = {key: other for key, other in self._by_inode.items() if other is not file}

    # Following

    def _poll(self, listing: Listing) -> None:
        """Look for new, grown, renamed and superseded files, unless this was done a moment ago."""
        now = time.monotonic()
        if now - self._polled_at < _POLL_S:
            return
        self._polled_at = now
        if listing.due():
            self._discover(listing.files())
        for file in list(self._open):
            if file.has_grown():
                self._grow(file)
            elif self._seal(file):
                self._enqueue(file)

    def _grow(self, file: FilePartition) -> None:
        if not file.sealed:
            self._enqueue(file)
            return
        self._open.remove(file)
        rest = file.continuation()
        file.close()
        if rest is not None:
            self._add(rest)
        else:
            log.warning("files.late", file=file.path, consequence="what was added to the archive is not read")

    def _seal(self, file: FilePartition) -> bool:
        """Take an unfinished last line as whole if nothing more will come; return whether there is now one to read."""
        if self._listing is None or file.sealed or not file.unfinished or not self._superseded(file):
            return False
        file.sealed = True
        return True

    def _superseded(self, file: FilePartition) -> bool:
        """Whether nobody writes to a file any more, so that its last line is whole as it is."""
        try:
            successor = Path(file.first_path).stat()
        except OSError:
            successor = None
        if successor is not None and successor.st_ino != file.identity.inode:
            return successor.st_size > 0
        return file is not self._files[-1] and file.is_quiet(_QUIET_S)

    def _enqueue(self, file: FilePartition) -> None:
        """Queue a file for reading, before the files that were found after it."""
        if file in self._open:
            self._open.remove(file)
        if not self._ready or self._ready[-1].order < file.order:
            self._ready.append(file)
        elif file not in self._ready:
            self._ready = deque(sorted((*self._ready, file), key=lambda known: known.order))

    def _discover(self, paths: Sequence[str]) -> None:
        """Take in the files under these names that are new, or that changed while they were closed."""
        for path in paths:
            try:
                status = Path(path).stat()
            except OSError:
                continue  # gone since it was listed
            key = status.st_dev, status.st_ino
            changed = self._seen.get(key) != (status.st_size, status.st_mtime_ns)
            self._seen[key] = status.st_size, status.st_mtime_ns
            known = self._by_inode.get(key)
            if known is None:
                identity = Identity.by_inode(status)
                self._add(FilePartition(path, identity, self._format, self._settings.max_record_bytes))
            else:
                known.path = path
                if changed and not known.is_open:
                    self._enqueue(known)

    def _add(self, file: FilePartition) -> None:
        self._by_inode[file.identity.key] = file
        self._append(file)
        self._ready.append(file)

    def _append(self, file: FilePartition) -> None:
        file.order = len(self._files)
        self._files.append(file)
