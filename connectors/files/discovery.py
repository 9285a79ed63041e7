"""Finds the files that a path stands for, and notices when they change."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import structlog

_TICK_MS = 10
_LISTING_S = 1.0  # new files are seen this late if the file system reports no changes

_TIME = r"(?:[0-9]{2,}+)?+(?:[-_T.][0-9]{2,}+)*+"
_DATE = rf"[0-9]{{4}}-?[0-9]{{2}}-?[0-9]{{2}}{_TIME}"
_ROTATED = re.compile(rf"(?P<name>.+?)(?:\.(?P<number>[0-9]{{1,3}})|[.-](?P<date>{_DATE}))(\.gz|\.zst)?")
"""`app.log.2.gz`, `app.log-20260131`: what rotation makes of `app.log`. The time takes the digits that it can and gives
none back: a name of many digits is tried in one way."""

log = structlog.get_logger()


def matching(path: str) -> list[str]:
    """Return the files that a file name, a glob or a directory stands for: in name order, rotated ones by their age."""
    if _is_dir(path):
        return in_order(_files(path, deep=False))
    if Path(path).exists():
        return [path]
    # A glob may find a file in several ways.
    return in_order({name for name in glob.glob(path, recursive=True) if os.path.isfile(name)})  # noqa: PTH113, PTH207


def all_below(path: str) -> tuple[str, list[str]]:
    """Return a directory, and the names below it of the files that a path stands for, in any order.

    Of a directory these are the files in it and in the folders below it, and of a glob those that it finds; none of
    them is hidden, or in a hidden folder. Raises OSError if the directory cannot be listed.
    """
    if _is_dir(path):
        return path, _below(path, _files(path, deep=True))
    found = matching(path)  # ahead of its root: if a directory comes just now, it is the root
    names = _below(root := root_of(path), found)
    return root, names if Path(path).exists() else [name for name in names if not _HIDDEN.search(name)]


def _below(root: str, paths: Iterable[str]) -> list[str]:
    """Return the names of paths below a directory."""
    start = os.path.join(root, "")  # noqa: PTH118  (a `Path` has no slash behind it)
    return [path.removeprefix(start) for path in paths]


_HIDDEN = re.compile("(^|/)[._]")


def _files(directory: str, *, deep: bool) -> Iterator[str]:
    """Yield the files in a directory, or in its folders, too; no hidden ones. Links to folders are not followed.

    Raises OSError if the directory cannot be listed. An entry that cannot be looked at is left out.
    """
    try:
        with os.scandir(directory) as found:
            entries = [entry for entry in found if not _HIDDEN.match(entry.name)]
    except FileNotFoundError:
        return  # gone since it was found
    for entry in entries:
        try:
            if deep and entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, deep=True)
            elif entry.is_file():
                yield entry.path
        except OSError as error:
            _leave_out(entry.path, str(error.strerror))


@cache
def _leave_out(path: str, why: str) -> None:
    """Say once of an entry that it is left out."""
    log.warning("files.left_out", path=repr(path), reason=why, consequence="it is not read, unless this is mended")


def is_away(directory: str) -> bool:
    """Return whether a directory is not there, or is empty, as one is on which nothing is mounted."""
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names in their order, but what was rotated before the file that it was rotated from, oldest first.

    Names alone decide, never the time of a change: it would not be the same after a copy. A number counts as one of
    rotation only where the file without it is there: `part.1` comes before `part.2`.
    """
    return sorted(names, key=_place)


def _place(name: str) -> tuple[str, bool, int, str, str]:
    """Return what to sort by: the file that was rotated, then its rotated ones by number or date, then itself."""
    found = _ROTATED.fullmatch(name)
    if found is None or not Path(found["name"]).is_file():
        return name, True, 0, "", name
    return found["name"], False, -int(found["number"] or 0), found["date"] or "", name


def is_there(path: str, read: Sequence[str] = ()) -> bool:
    """Return whether a path that stands for no file now can be looked at, so that files may come: its directory is
    there. A single file is there, too, while it is renamed and not written anew, if it is among those that were `read`.
    """
    if glob.has_magic(path):
        return _is_dir(root_of(path))
    return _is_dir(os.path.dirname(read[-1]) if read else path)  # noqa: PTH120


def nothing_there(path: str) -> str:
    """Return why a path stands for no file."""
    if _is_dir(path):
        return "no files in it yet"
    return "no file matches it" if glob.has_magic(path) else "no such file"


def names_many(path: str) -> bool:
    """Return whether a path is a directory or a glob."""
    return glob.has_magic(path) or _is_dir(path)


def _is_dir(path: str) -> bool:
    """Return whether a path is a directory that can be looked at. Raises nothing, as `Path.is_dir` does."""
    return os.path.isdir(path)  # noqa: PTH112


class Listing:
    """The files of a path that is followed: listed again when the file system reports a change, or every second."""

    def __init__(self, path: str, *, deep: bool = False) -> None:
        """`deep`: watch all folders below a directory, too."""
        self._path = path
        self._deep = deep
        self._due_at = 0.0
        self._changes: Generator[set[Any], None, None] | None = None
        self._watching = False

    def due(self) -> bool:
        return time.monotonic() >= self._due_at or not names_many(self._path)

    def files(self) -> list[str]:
        """Return the files that exist now. Raises OSError."""
        self.begin()
        return matching(self._path)

    def begin(self) -> None:
        """Note that the files are listed now, and watch for changes from here on."""
        self._due_at = time.monotonic() + _LISTING_S
        if self._changes is None and names_many(self._path):
            self._changes = self._watch()

    def wait(self, seconds: float) -> None:
        """Return after a change, after a few milliseconds, or after `seconds`, whichever comes first."""
        if self._changes is None or seconds * 1000 <= 2 * _TICK_MS:
            time.sleep(min(seconds, _TICK_MS / 1000))
        elif self._changed(self._changes):
            self._due_at = 0.0

    def close(self) -> None:
        if self._changes is not None:
            self._changes.close()
        self._changes = None

    def _changed(self, watched: Generator[set[Any], None, None]) -> bool:
        try:
            changes = next(watched, set())
        except (OSError, RuntimeError) as error:
            log.warning("files.not_watched", path=self._path, error=str(error), consequence=_LATE)
            self._changes = _silence()
            return False
        # Changes of open files are seen without a listing.

        missed_some, self._watching = not self._watching, True
        return missed_some or any(change.name != "modified" for change, _ in changes)

    def _watch(self) -> Generator[set[Any], None, None] | None:
        root = root_of(self._path)
        if not _is_dir(root):
            return None
        from watchfiles import watch  # only a followed directory pays for the import

        return watch(
            root,
            watch_filter=None,
            debounce=2 * _TICK_MS,
            step=_TICK_MS // 2,
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=self._deep or (not _is_dir(self._path) and Path(root) != Path(self._path).parent),
        )


_LATE = f"new files are looked for every {_LISTING_S:g} s instead of at once"


def _silence() -> Generator[set[Any], None, None]:
    while True:
        time.sleep(_TICK_MS / 1000)
        yield set()


def root_of(path: str) -> str:
    """Return the directory below which all files of a path lie. Of a glob it follows from the text alone."""
    if _is_dir(path):
        return path
    above = Path(path).parent
    while glob.has_magic(str(above)) and not Path(path).is_file():
        above = above.parent
    return str(above)
