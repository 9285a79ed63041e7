"""Settings of files and of standard input."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from learnd.connectors.source_settings import MIB, Glance, RecordLimit, SourceSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.values import RAW, RecordFormat, RecordSample


class _InFiles(SourceSettings):
    """What all that reads files has in common."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv", "parquet", "raw")

    path: Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"})]
    """A file, a glob (`logs/*.jsonl`, `logs/**/*.csv.gz`), or a directory. Files are read in name order, one after the
    other, but rotated ones from the oldest on (`app.jsonl.2.gz`, `app.jsonl.1`, `app.jsonl`). In a directory,
    those whose name starts with `.` or `_` are left out. With `samples.format: raw`, a directory stands for the files
    in all folders below it, too, a glob finds no such names either, and the order is another: that of a hash of each
    file's name below `path`."""

    max_record_bytes: RecordLimit = MIB
    """A longer line, or a larger file of `samples.format: raw`, is rejected; the stream goes on with the next one."""

    def keys_each(self, fmt: RecordFormat) -> bool:
        return fmt.name == RAW

    def reads_file(self, file: Path) -> bool:
        """Return whether a file is the one that the path names, is in its directory, or matches its glob."""
        name, path = Path(os.path.normpath(file)), Path(os.path.normpath(self.path))
        as_deep = "**" in path.parts or len(name.parts) == len(path.parts)
        return path in {name, name.parent} or (as_deep and fnmatch(str(name), str(path)))

    def glance(self, fmt: RecordFormat) -> Glance:
        from learnd.connectors.files.first_records import glance  # the settings alone need none of what reads files

        return glance(self.path, fmt, self.max_record_bytes)

    def files(self) -> list[Path]:
        """Return the files under the path that hold anything, else the first, in the order in which a run reads them.

        Raises SourceError if there is none under a directory or a glob.
        """
        from learnd.connectors.files.discovery import matching, names_many, nothing_there

        files = list(map(Path, matching(self.path)))
        if not files and names_many(self.path):
            raise SourceError(
                f"{self.path}: {nothing_there(self.path)}. Nothing was written. Name a file with records, or a "
                "directory or a glob of such files; a glob in quotes, so that the shell leaves it as it is."
            )
        return [file for file in files if file.stat().st_size] or files[:1] or [Path(self.path)]

    def in_folders(self) -> dict[str, list[Path]]:
        """Return the files in each folder of the directory that the path is, in name order; none if files lie beside
        the folders.
        """
        from learnd.connectors.files.discovery import all_below, matching

        if not Path(self.path).is_dir() or matching(self.path):
            return {}
        found: dict[str, list[Path]] = {}
        root, names = all_below(self.path)
        for name in sorted(names):
            found.setdefault(name.partition("/")[0], []).append(Path(root, name))
        return found

    def samples(self, fmt: RecordFormat) -> list[RecordSample]:
        """Return records of each of the files, or of 40 of them at even distances. Raises SourceError."""
        from learnd.connectors.files.sampling import samples

        return samples(self.files(), fmt, self.max_record_bytes)


class FilesSettings(_InFiles):
    """Records in files: JSON lines, JSON arrays or CSV, plain, `.gz` or `.zst`; or Parquet; or whole files."""

    harmless: ClassVar[Mapping[str, str]] = {
        "path": "the state knows the files that it has read, and the position in each",
        "follow": "when the stream ends",
        "when_gone": "what was left out is in the journal",
    }

    follow: bool = False
    """False: read what is there to its end. True: follow growing files like `tail -F`, through rotation and
    truncation, and watch a directory or glob for new files. A glob that covers the rotated names as well
    (`app.jsonl*`) also finds files that were rotated twice while the daemon was down; copies are not read again."""

    when_gone: Literal["stop", "skip"] = "stop"
    """What to do at a start if a file that was read in part is no longer there, or goes on in the middle of a line that
    has trained: `stop` with an error, or `skip` the unread rest of it. With `samples.format: raw`: if a file is gone
    when its turn comes; not if the whole directory is."""


class EpochsSettings(_InFiles):
    """The records of files several times over, as `learnd fit` takes them. They have to fit into memory."""

    harmless: ClassVar[Mapping[str, str]] = {
        "path": "the state knows the records by what they hold",
        "epochs": "when the stream ends",
    }

    epochs: PositiveInt = 10
    """How many times over."""

    shuffle: bool = True
    """Give the records of each epoch in an order of its own. Otherwise in the order of the files."""

    seed: int = 7
    """What the orders follow from."""

    def problem_with(self, fmt: RecordFormat) -> str | None:
        if fmt.ordered and self.shuffle:
            return (
                "source.epochs.shuffle: samples.window is of records in their order; leave them in it: shuffle: false, "
                "or learnd fit --no-shuffle"
            )
        return super().problem_with(fmt)


class StdinSettings(SourceSettings):
    """Records piped into the daemon. They are spooled to the state directory first, so that none is lost."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv")

    max_record_bytes: RecordLimit = MIB
    """A longer line is rejected; the stream goes on with the next one."""
