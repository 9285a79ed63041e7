"""An append-only file that checkpoints cover: a resume drops what came after the checkpoint and goes on."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.failpoints import failpoint

log = structlog.get_logger()

_BLOCK = 65_536
_MOST_PENDING = 64 << 20


class AppendFile:
    """A `contracts.Output` of lines. Messages and failpoints call them by `name`.

    Must never hold a partly written line before a whole one. Lines that the disk refuses stay in memory and are tried
    again. No checkpoint is made while any are pending, so a kill cannot lose them: a resume writes them again.

    A subclass may hold records of another kind: its `_whole` says where they end.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._descriptor = -1
        self._end = 0
        self._synced = -1
        self._pending = bytearray()

    def open(self, mark: int | None) -> None:
        """Go on after the first `mark` bytes, and drop what follows them; without a mark, go on after what there is.

        If someone cut the file, its whole lines stay, and the gap is logged. Raises StoreError.
        """
        self.close()
        self._synced = -1
        self._pending.clear()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            size = os.fstat(self._descriptor).st_size
            self._end = self._whole(size, mark)
            os.ftruncate(self._descriptor, self._end)
        except OSError as error:
            raise self._failure("opened", error) from error
        if mark is not None and self._end < mark:
            log.warning(
                "output_cut", output=self._name, file=str(self._path), missing_bytes=mark - self._end,
                consequence="the lines that someone removed from it are not written again",
            )  # fmt: skip

    def _whole(self, size: int, mark: int | None) -> int:
        """Return where the lines end that stay, of those in a file of `size` bytes."""
        return _last_line_end(self._descriptor, size if mark is None else min(mark, size))

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in the file, or will be."""
        return not (self._end or self._pending)

    def append(self, lines: bytes) -> None:
        """Append whole lines. Raises StoreError only if more is pending than may be kept in memory."""
        self._pending += lines
        try:
            self._write_pending()
        except OSError as error:
            log.error(  # noqa: TRY400  (a full disk needs no traceback)
                "output_not_written", output=self._name, file=str(self._path), reason=error.strerror,
                consequence="training goes on, but no checkpoint is made until it can be written",
            )  # fmt: skip
            if len(self._pending) > _MOST_PENDING:
                raise self._failure("written", error) from error

    def mark(self) -> int:
        """Hand all lines to the system and return the end of the last one. Raises StoreError if some stay pending."""
        try:
            self._write_pending()
        except OSError as error:
            raise self._failure("written", error) from error
        return self._end

    def sync(self) -> None:
        """Make everything up to the last mark durable. Called from another thread. Raises StoreError."""
        end = self._end
        if end == self._synced:
            return
        try:
            failpoint(f"{self._name}.sync")
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._failure("synced", error) from error
        self._synced = end

    def close(self) -> None:
        """Release the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_pending(self) -> None:
        if not self._pending:
            return
        try:
            failpoint(f"{self._name}.write")
            end = write_at(self._descriptor, bytes(self._pending), self._end)
        except OSError:
            with suppress(OSError):  # the next line overwrites whatever is left after the end
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end = end
        self._pending.clear()

    def _failure(self, action: str, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path}: {self._name} cannot be {action}: {error.strerror}. Nothing is lost: a resume writes "
            "again what is not in the file. Make room on the disk, or repair the disk or the permissions."
        )


def write_at(descriptor: int, data: bytes, offset: int) -> int:
    """Write all of `data` at an offset, and return the offset after it. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset, rest = offset + written, rest[written:]
    return offset


def take_from_others(path: Path) -> None:
    """Replace a file by a copy of itself, so that a process that still has it open can no longer write to this path.

    Raises StoreError.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        shutil.copyfile(path, beside)
        beside.replace(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{path} cannot be taken over: {error.strerror}. Nothing was changed; make room.") from error


def _last_line_end(descriptor: int, size: int) -> int:
    """Return the offset after the last line that ends within the first `size` bytes."""
    while size:
        start = max(0, size - _BLOCK)
        newline = os.pread(descriptor, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0
