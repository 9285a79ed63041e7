"""Identifies a file by its inode and its first bytes.

A name is not enough, since rotation gives it to another file. Neither is an inode, since file systems reuse it, nor
are the first bytes, since a copy has the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 1024


class ReplacedError(Exception):
    """Raised when a file no longer holds what was read from it: it was truncated, or overwritten."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What distinguishes a file from all others. `head_sha256` covers its first `head_bytes` bytes."""

    device: int
    inode: int
    head_bytes: int
    head_sha256: str

    @classmethod
    def of(cls, descriptor: int) -> Identity:
        """Return the identity of an open file as it is now."""
        status = os.fstat(descriptor)
        head = os.pread(descriptor, HEAD_BYTES, 0)
        return cls(status.st_dev, status.st_ino, len(head), _digest(head))

    @classmethod
    def by_inode(cls, status: os.stat_result) -> Identity:
        """Return the identity of a file of which nothing was read yet."""
        return cls(status.st_dev, status.st_ino, 0, _digest(b""))

    @property
    def key(self) -> tuple[int, int]:
        """The device and the inode."""
        return self.device, self.inode

    def holds(self, descriptor: int) -> bool:
        """Whether an open file begins with the head of this one."""
        return _digest(os.pread(descriptor, self.head_bytes, 0)) == self.head_sha256

    def is_of(self, descriptor: int) -> bool:
        """Whether an open file is this one: the same inode and the same head."""
        return os.fstat(descriptor).st_ino == self.inode and self.holds(descriptor)


def find(identity: Identity, path: str, position: int | None, others: list[str]) -> str | None:
    """Return where the file is now that was at `path`: still there, renamed, or copied under the same name.

    `position`: an offset after a line, which the file must still reach. Renamed files are looked for in the same
    directory and among `others`. A file of another inode counts only if its content is sufficient proof: then the
    directory was restored or copied. If none of `others` is in the file's old directory, the settings name a copy now:
    that is preferred, since otherwise the copy would be read beside the original.
    """
    if all(Path(name).parent != Path(path).parent for name in others):
        for name in _named_like(path, others):
            if _is_copy(identity, name, position):
                return name
    for name in _with_inode(identity.inode, path, others):
        if _is(identity, name, position or 0):
            return name
    return next((name for name in [path, *_named_like(path, others)] if _is_copy(identity, name, position)), None)


def _named_like(path: str, others: list[str]) -> list[str]:
    return [name for name in others if Path(name).name == Path(path).name]


def open_same(identity: Identity, path: str) -> tuple[int, str]:
    """Open the file that was at `path`, and return its descriptor and where in that directory it is now.

    Raises FileNotFoundError if it is gone, ReplacedError if it holds other content, OSError if it cannot be opened.
    """
    gone: Exception = ReplacedError()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        gone = error
    else:
        if identity.is_of(descriptor):
            return descriptor, path
        os.close(descriptor)
    renamed = next((name for name in _with_inode(identity.inode, path, []) if _is(identity, name, 0)), None)
    if renamed is None:
        raise gone
    return os.open(renamed, os.O_RDONLY | os.O_CLOEXEC), renamed


def files_in(directory: str) -> list[str]:
    """Return the files in a directory, in name order."""
    return [entry.path for entry in _entries(directory)]


def _with_inode(inode: int, path: str, others: list[str]) -> Iterator[str]:
    """Yield the files of that inode, the likely ones first: the directory is listed only if `path` is another file."""
    if _inode(path) == inode:
        yield path
    yield from (entry.path for entry in _entries(Path(path).parent) if entry.inode() == inode)
    yield from (name for name in others if _inode(name) == inode)


def _entries(directory: str | Path) -> list[os.DirEntry[str]]:
    """Return the files in a directory, in name order."""
    try:
        with os.scandir(directory) as entries:
            return sorted((entry for entry in entries if entry.is_file()), key=lambda entry: entry.name)
    except OSError:
        return []


def _is_copy(identity: Identity, path: str, position: int | None) -> bool:
    """Whether a file of another inode has the same content, as far as it was read."""
    if identity.head_bytes == 0:
        return False
    return _is(identity, path, position or 0) and (position is None or _ends_line(path, position))


def _inode(path: str) -> int | None:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return None


def _is(identity: Identity, path: str, least_bytes: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.fstat(descriptor).st_size >= least_bytes and identity.holds(descriptor)
    finally:
        os.close(descriptor)


def _ends_line(path: str, position: int) -> bool:
    """Whether a line ends at an offset, or the file does."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(position - 1, 0))
            around = file.read(2)
    except OSError:
        return False
    return position == 0 or around[:1] == b"\n" or len(around) == 1


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
