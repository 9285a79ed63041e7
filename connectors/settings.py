"""Settings of the sources and of the dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from daemon.section import Section

RecordLimit = Annotated[int, Field(ge=1024, le=1 << 30)]
_MIB = 1 << 20


class FilesSettings(Section):
    """Records in files: JSON lines or CSV, plain, `.gz` or `.zst`; or Parquet."""

    path: Annotated[str, Field(min_length=1, json_schema_extra={"format": "path"})]
    """A file, a glob (`logs/*.jsonl`, `logs/**/*.csv.gz`), or a directory. Files are read in name order, one after the
    other; in a directory those whose name starts with `.` or `_` are left out."""

    follow: bool = False
    """False: read what is there to its end. True: follow growing files like `tail -F`, through rotation and
    truncation, and watch a directory or glob for new files. A glob that covers the rotated names as well
    (`app.jsonl*`) also finds files that were rotated twice while nothing ran."""

    max_record_bytes: RecordLimit = _MIB
    """A longer line is rejected; the stream goes on with the next one."""

    when_gone: Literal["stop", "skip"] = "stop"
    """What to do at a start where a file that was read in part is no longer there: `stop` with an error, or `skip` what
    was unread of it."""


class StdinSettings(Section):
    """Records piped into the daemon. They are spooled to the state directory first, so that none is lost."""

    max_record_bytes: RecordLimit = _MIB
    """A longer line is rejected; the stream goes on with the next one."""


class DeadLetterSettings(Section):
    """Where rejected records go, and how many of them are too many."""

    file: Path | None = None
    """The file of rejected records, as JSON lines; `dead-letters.jsonl` in the state directory by default."""

    max_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Stop (exit code 65) when more than this share of the last `window` records was rejected."""

    window: PositiveInt = 1000
    """Records over which the share of rejected ones is taken."""
