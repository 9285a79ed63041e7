"""Finds the files that a path stands for, and notices when they change."""

from __future__ import annotations

import glob
import os
import re
import time
from collections.abc import Generator, Iterable, Iterator
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
    if Path(path).is_dir():
        return in_order(_visible(path))
    if Path(path).exists():
        return [path]
    return in_order(name for name in glob.glob(path, recursive=True) if Path(name).is_file())  # noqa: PTH207 (`**`, cwd)


def all_below(path: str) -> list[str]:
    """Return the files in a directory and in the folders below it, in any order; or what a name or a glob stands for.

    Raises OSError.
    """
    return [*_deep(path)] if Path(path).is_dir() else matching(path)


def _deep(directory: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            visible = [entry for entry in entries if entry.name[0] not in "._"]
    except FileNotFoundError:
        return  # gone since it was listed
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            yield from _deep(entry.path)
        elif entry.is_file():
            yield entry.path


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


def nothing_there(path: str) -> str:
    """Return why a path stands for no file."""
    if Path(path).is_dir():
        return "no files in it yet"
    return "no file matches it" if glob.has_magic(path) else "no such file"


def names_many(path: str) -> bool:
    """Return whether a path is a directory or a glob."""
    return glob.has_magic(path) or Path(path).is_dir()


def _visible(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.name[0] not in "._" and entry.is_file()]


class Listing:
    """The files of a path that is followed: listed again when the file system reports a change, or every second."""

    def __init__(self, path: str, *, deep: bool = False) -> None:
        """`deep`: in a directory, those in all folders below it, too."""
        self._path = path
        self._deep = deep
        self._due_at = 0.0
        self._changes: Generator[set[Any], None, None] | None = None
        self._watching = False

    def due(self) -> bool:
        return time.monotonic() >= self._due_at or not names_many(self._path)

    def files(self) -> list[str]:
        """Return the files that exist now. Raises OSError."""
        self._due_at = time.monotonic() + _LISTING_S
        if self._changes is None and names_many(self._path):
            self._changes = self._watch()
        return all_below(self._path) if self._deep else matching(self._path)

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
        if not Path(root).is_dir():
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
            recursive=self._deep or (not Path(self._path).is_dir() and Path(root) != Path(self._path).parent),
        )


_LATE = f"new files are looked for every {_LISTING_S:g} s instead of at once"


def _silence() -> Generator[set[Any], None, None]:
    while True:
        time.sleep(_TICK_MS / 1000)
        yield set()


def root_of(path: str) -> str:
    """Return the directory below which all files of a path lie."""
    if not names_many(path):
        return str(Path(path).parent)
    while glob.has_magic(path) and not Path(path).is_dir():
        path = str(Path(path).parent)
    return path
