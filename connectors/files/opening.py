"""What reads files: by records within them, or as a whole."""

from __future__ import annotations

from pathlib import Path

from learnd.connectors.files.folders import FolderSource
from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.contracts import Source
from learnd.daemon.values import RAW, RecordFormat


def files_source(settings: FilesSettings, fmt: RecordFormat, state: Path | None = None) -> Source:
    """Return a source of the files under a path."""
    return FolderSource(settings) if fmt.name == RAW else FilesSource(settings, fmt, state)
