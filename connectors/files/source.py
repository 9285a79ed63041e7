"""Records in files, read one file after the other in the order in which they were found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import structlog

from learnd.connectors.files.copies import Copies, Match
from learnd.connectors.files.discovery import Listing, is_there, matching
from learnd.connectors.files.endings import GrownError
from learnd.connectors.files.identity import Identity, ReplacedError, files_in
from learnd.connectors.files.noted import noted_partitions
from learnd.connectors.files.partition import FilePartition
from learnd.connectors.files.queue import Queue, lag_of
from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.telling import lost_rest, tell_of_copy, tell_of_nothing, tell_of_rest, tell_what_is_other
from learnd.daemon.errors import SourceError
from learnd.daemon.values import Note, Positions, RecordBatch, RecordFormat

_POLL_S = 0.1  # how often to look at the names, even while there is enough to read: a file may rotate twice
_QUIET_S = 5.0

log = structlog.get_logger()


class FilesSource:
    """A `contracts.Source` over files; a partition is a file, `file-0` the first one that held a record.

    A file is known by its inode and content, not by its name: renamed, it stays the same partition; other content
    under the same name is another one. While following, each file that was found stays watched, since the process
    that writes it may go on after a rotation. Its last line waits for a line feed until its successor under the same
    name has content, or until a later file exists and this one has not been written for five seconds.
    """

    connected = True
    repeats = False
    lag_unit: Literal["records", "bytes"] = "bytes"

    def __init__(self, settings: FilesSettings, fmt: RecordFormat, _state: Path | None = None) -> None:
        self._settings = settings
        self._format = fmt
        self._forget()

    def _forget(self) -> None:
        self._files: list[FilePartition] = []  # in order of discovery
        self._by_inode: dict[tuple[int, int], FilePartition] = {}
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}  # size and time of change at the last listing
        self._queue = Queue()
        self._copies = Copies()
        self._undecided: list[FilePartition] = []  # may be copies that are still being written
        self._told: set[tuple[int, int]] = set()  # copies that the log has named
        self._next_ordinal = 0
        self._polled_at = 0.0
        self._listing = Listing(self._settings.path) if self._settings.follow else None

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self.close()
        self._forget()
        self._restore(positions, notes)
        files = matching(self._settings.path)
        if not files:
            tell_of_nothing(self._settings.path, follow=self._settings.follow, knows_some=bool(self._files))
        self._discover(files)

    def read(self, timeout_s: float) -> RecordBatch | None:
        deadline = time.monotonic() + timeout_s
        while True:
            if self._listing is not None:
                self._poll(self._listing)
            if (batch := self._next(deadline)) is not None or self._listing is None:
                return batch
            self._polled_at = 0.0
            if (left := deadline - time.monotonic()) <= 0:
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
        return self._listing is None and not self._queue.ready

    def lag(self) -> Mapping[str, int]:
        return lag_of((*self._queue.parked, *self._queue.ready), self._next_ordinal)

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: the files belong to whoever wrote them."""

    def close(self) -> None:
        for file in self._files:
            file.close()
        if self._listing is not None:
            self._listing.close()

    def _restore(self, positions: Positions, notes: Sequence[Note]) -> None:
        """Find the files again that the notes name."""
        for noted in noted_partitions(notes, positions, self._format, self._settings.max_record_bytes):
            self._append(noted)
            self._copies.add(noted)
            self._next_ordinal = (noted.ordinal or 0) + 1
        unknown = sorted(set(positions) - {file.name for file in self._files})
        if unknown:
            raise SourceError(
                f"{', '.join(unknown)}: the state holds a position but no note says which file that was. It was made "
                "from another kind of source, or is incomplete: use another state directory."
            )
        matched = matching(self._settings.path)
        last_of_inode = {file.identity.key: file for file in self._files}
        replaced = {file for file in self._files if last_of_inode[file.identity.key] is not file}
        missing = [file for file in self._files if not file.locate(matched)]
        aside = {*missing, *replaced}
        for file in self._files:
            if file not in aside:
                self._resume(file)
        missed = self._go_on_in_copies(missing, matched)
        for file in missed:
            self._miss(file, file in replaced)
        tell_what_is_other(self._settings.path, self._files, set(missed), matched)

    def _resume(self, file: FilePartition) -> None:
        status = Path(file.path).stat()
        self._by_inode[file.identity.key] = file
        self._copies.add(file)
        self._seen[file.identity.key] = status.st_size, status.st_mtime_ns
        if not file.known_complete or file.changed_since_end():
            self._queue.put(file)

    def _miss(self, file: FilePartition, replaced: bool) -> None:
        """Handle a file that is not found any more: nothing to do if all of it was read, else records are lost."""
        if replaced or file is not self._files[-1] or file.known_complete:
            return  # a later file was begun, so this one had been read to its end
        if self._settings.follow and self._was_truncated(file):
            self._replace(file)
        elif self._settings.when_gone == "skip":
            log.warning("files.gone", file=file.first_path, position=file.position, consequence="the rest is skipped")
        else:
            raise lost_rest(file)

    def _was_truncated(self, file: FilePartition) -> bool:
        """Whether it is the same file with other content, as copytruncate leaves it."""
        try:
            return Path(file.path).stat().st_ino == file.identity.inode
        except OSError:
            return False

    # Reading

    def _next(self, deadline: float) -> RecordBatch | None:
        while self._queue.ready:
            file = self._queue.ready[0]
            if self._is_left_out(file):
                continue
            try:
                batch = file.read(self._is_final(file), deadline, self._next_ordinal)
            except ReplacedError:
                self._replace(file)
                continue
            except FileNotFoundError:
                self._vanish(file)
                continue
            except GrownError as grown:
                self._go_on(file, grown)
                continue
            if batch is not None:
                self._next_ordinal = max(self._next_ordinal, (file.ordinal or 0) + 1)
                self._copies.add(file)
                return batch
            if not file.drained:
                return None
            if not self._seal(file):
                self._park(file)
        return None

    def _is_final(self, file: FilePartition) -> bool:
        return self._listing is None or file.sealed

    def _park(self, file: FilePartition) -> None:
        """Keep a followed file open for what is still written to it; close it if nothing is followed."""
        if self._listing is not None:
            self._queue.park(file)
        else:
            self._leave(file)

    def _leave(self, file: FilePartition) -> None:
        self._queue.drop(file)
        file.close()

    def _replace(self, file: FilePartition) -> None:
        """Go on with the copy that was made before a file was truncated, if there is one, then with its new content."""
        if self._listing is None:
            raise file.gone(file.position, "it was truncated or overwritten while it was being read")
        self._leave(file)
        key, path = file.identity.key, file.path
        self._by_inode.pop(key, None)
        matched = matching(self._settings.path)
        lost = "any unread rest of it is lost; its new content comes next"
        consequence = lost if self._go_on_in_copies([file], matched) else f"reading on in {file.path}"
        log.warning("files.truncated", file=path, position=file.position, consequence=consequence)
        self._seen.pop(key, None)
        self._discover(matched)

    # Copies

    def _go_on_in_copies(self, gone: Sequence[FilePartition], matched: Sequence[str]) -> list[FilePartition]:
        """Go on in the copies that were made of files before they were truncated or deleted; return those without."""
        left = [file for file in gone if file.prints]
        paths = dict.fromkeys(chain(matched, *map(files_in, {str(Path(file.path).parent) for file in left})))
        for candidate in filter(None, map(self._candidate, paths)) if left else ():
            match = self._copies.original_of(candidate)
            if match is not None and match.whole and match.original in left:
                left.remove(match.original)
                self._move(match.original, candidate)
        return [file for file in gone if file in left or not file.prints]

    def _move(self, file: FilePartition, copy: FilePartition) -> None:
        self._queue.drop(copy)
        file.move(copy)
        self._resume(file)
        file.sealed = self._listing is not None

    def _candidate(self, path: str) -> FilePartition | None:
        """Return the file at a path if nothing of it was read yet."""
        try:
            status = Path(path).stat()
        except OSError:
            return None
        known = self._by_inode.get((status.st_dev, status.st_ino))
        if known is None:
            return self._new_file(path, status)
        return known if known.ordinal is None else None

    def _is_left_out(self, file: FilePartition) -> bool:
        """Whether nothing is to be read of a file for now: it is a copy, or another file comes first."""
        if not file.may_be_a_copy:
            return False
        match = self._copies.original_of(file)
        if self._listing is not None and self._copies.is_unclear(file, match) and not file.is_quiet(_QUIET_S):
            self._leave(file)
            self._undecided.append(file)
            return True
        if match is None or not (match.whole or match.certain):
            return False
        return self._is_left_to(match.original, file, match)

    def _is_left_to(self, original: FilePartition, file: FilePartition, match: Match) -> bool:
        """Whether nothing is to be read of a copy for now."""
        if original.is_cut():
            self._replace(original)
            return True
        if match.more and original.has_grown():
            self._queue.put(original)
            return True
        if match.more or file.identity.key not in self._told:
            tell_of_copy(file, match, follow=self._settings.follow)
        self._told.add(file.identity.key)
        if match.more:
            return self._is_read_behind(file, original)
        self._leave(file)
        return True

    def _is_read_behind(self, file: FilePartition, original: FilePartition) -> bool:
        """Begin behind what was read of the original; return whether that is another partition, as some was read."""
        if file.ordinal is None:
            file.begin_behind(original)
            return False
        self._leave(file)
        rest = file.rest_from(0)
        rest.begin_behind(original)
        self._add(rest)
        return True

    def _go_on(self, file: FilePartition, grown: GrownError) -> None:
        """Handle a file that goes on within its last record, as an earlier run read it."""
        if not grown.ending.rejected and self._settings.when_gone == "stop":
            raise grown.refusal(f"{file.first_path} ({file.name})")
        self._read_rest(file, grown)

    def _read_rest(self, file: FilePartition, grown: GrownError) -> None:
        """Read on in a new partition: a rejected record again, or behind one that has trained."""
        if grown.rest is None:
            self._park(file)
            return
        tell_of_rest(file, grown)
        self._leave(file)
        self._add(file.rest_from(grown.rest))

    def _vanish(self, file: FilePartition) -> None:
        """Handle a file that was renamed or deleted after it was listed and before it was opened."""
        if self._listing is None:
            raise file.gone(file.position, "it was deleted before it was read")
        self._queue.drop(file)
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
            self._discover(found := listing.files())
            self.connected = bool(found) or is_there(
                self._settings.path, [file.first_path for file in self._files[-1:]]
            )
        for file in [file for file in self._undecided if file.is_quiet(_QUIET_S)]:
            self._undecided.remove(file)
            self._queue.put(file)
        for file in list(self._queue.parked):
            if file.has_grown():
                self._grow(file)
            elif self._seal(file):
                self._queue.put(file)

    def _grow(self, file: FilePartition) -> None:
        if not file.sealed:
            self._queue.put(file)
            return
        self._queue.drop(file)
        try:
            rest = file.continuation()
        except GrownError as grown:
            self._read_rest(file, grown)
            return
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
                self._add(self._new_file(path, status))
            else:
                if known.path != path:
                    known.path = path
                    self._copies.add(known)
                if changed and not known.is_open and known not in self._undecided:
                    self._queue.put(known)

    def _new_file(self, path: str, status: os.stat_result) -> FilePartition:
        return FilePartition(path, Identity.by_inode(status), self._format, self._settings.max_record_bytes)

    def _add(self, file: FilePartition) -> None:
        self._by_inode[file.identity.key] = file
        self._append(file)
        self._queue.put(file)

    def _append(self, file: FilePartition) -> None:
        file.order = len(self._files)
        self._files.append(file)
