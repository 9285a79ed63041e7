"""A look at the first records of files, before anything is read for good."""

from __future__ import annotations

from pathlib import Path

from learnd.connectors.files.discovery import all_below, matching, nothing_there
from learnd.connectors.files.identity import Identity, ReplacedError
from learnd.connectors.files.partition import FilePartition
from learnd.connectors.source_settings import Glance
from learnd.daemon.errors import SourceError
from learnd.daemon.values import CONTENT, FOLDER, RAW, RecordFormat


def glance(path: str, fmt: RecordFormat, max_record_bytes: int) -> Glance:
    """Return the columns of the first file that holds a record, else those of the first that has a header."""
    header: Glance | None = None
    try:
        names = all_below(path)[1] if fmt.name == RAW else matching(path)
        if not names:
            return Glance(path, away=nothing_there(path))
        if fmt.name == RAW:
            return Glance(path, (CONTENT, FOLDER))
        for name in names:
            file = FilePartition(name, Identity.by_inode(Path(name).stat()), fmt, max_record_bytes)
            try:
                batch = file.read(True, float("inf"), 0)
                header = header or (Glance(name, file.columns) if file.columns else None)
            finally:
                file.close()
            if batch is not None:
                return Glance(name, batch.columns)
    except (SourceError, ReplacedError, OSError) as error:
        return Glance(path, problem=str(error))
    return header or Glance(path)
