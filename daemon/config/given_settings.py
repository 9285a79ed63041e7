"""The settings as the command line gives them, a file and overrides, which a daemon may read again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings

_Stamp = tuple[int, int, int, int] | None


class GivenSettings:
    """The file, the overrides of the command line, and which content of the file was read last."""

    def __init__(self, path: Path, overrides: Sequence[str]) -> None:
        self._path = path
        self._overrides = overrides
        self._read: _Stamp = None
        self._seen: _Stamp = None

    def read(self, further: Callable[[Settings], Sequence[str]] | None = None) -> Settings:
        """Return the settings, as `load_settings` does. Raises SettingsError with every problem."""
        self._read = self._seen = self._stamp()  # ahead of reading: what changes meanwhile is found
        return load_settings(self._path, self._overrides, further=further)

    def changed(self) -> bool:
        """Whether the file is another one than was read, and was so at the last look: it may be half written first."""
        before, self._seen = self._seen, self._stamp()
        return self._seen is not None and self._seen != self._read and self._seen == before

    def _stamp(self) -> _Stamp:
        """Return what changes with the file, also if a link leads to another one; None if there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
