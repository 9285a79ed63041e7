"""An append-only file of lines that checkpoints cover: a resume drops what came after the checkpoint, then goes on."""

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
    """A `contracts.Output`. `name` says in messages and failpoints what the lines are.

    Must never hold a torn line before a whole one. Lines that the disk does not take are kept in memory and tried
    again; no checkpoint is made while there are any, so a kill cannot lose them: a resume writes them again.
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
            self._end = _last_line_end(self._descriptor, size if mark is None else min(mark, size))
            os.ftruncate(self._descriptor, self._end)
        except OSError as error:
            raise self._failure("opened", error) from error
        if mark is not None and self._end < mark:
            log.warning(
                "output_cut", output=self._name, file=str(self._path), missing_bytes=mark - self._end,
                consequence="what someone removed from it is not written again",
            )  # fmt: skip

    @property
    def place(self) -> str:
        """The path of the file."""
        return str(self._path)

    def append(self, lines: bytes) -> None:
        """Append whole lines. Raises StoreError only where more is pending than should be kept in memory."""
        self._pending += lines
        try:
            self._write_pending()
        except OSError as error:
            log.error(  # noqa: TRY400  (a full disk needs no traceback)
                "output_not_written", output=self._name, file=str(self._path), reason=error.strerror,
                consequence="training goes on, without checkpoints until it can be written",
            )  # fmt: skip
            if len(self._pending) > _MOST_PENDING:
                raise self._failure("written", error) from error

    def mark(self) -> int:
        """Return where the last line ends; the system has all of them. Raises StoreError where some are pending."""
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
            with suppress(OSError):  # what stays behind the end is overwritten by the next line
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end = end
        self._pending.clear()

    def _failure(self, action: str, error: OSError) -> StoreError:
        return StoreError(
            f"{self._path}: {self._name} cannot be {action}: {error.strerror}. Nothing of it is lost: what is not in "
            "the file is written again by a resume. Make room, or mend the disk or the permissions."
        )


def write_at(descriptor: int, data: bytes, offset: int) -> int:
    """Write all of `data` at an offset, and return where it ends. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        offset, rest = offset + written, rest[written:]
    return offset


def take_from_others(path: Path) -> None:
    """Replace a file by a copy, so that a process that has it open no longer writes to what lies under its name.

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
    """Return the offset behind the last line that ends within the first `size` bytes."""
    while size:
        start = max(0, size - _BLOCK)
        newline = os.pread(descriptor, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0
