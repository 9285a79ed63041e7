"""What the log and the errors say of files that are not what was expected."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog

from learnd.connectors.files.copies import Match
from learnd.connectors.files.discovery import nothing_there
from learnd.connectors.files.endings import GrownError
from learnd.connectors.files.partition import FilePartition
from learnd.daemon.errors import SourceError

log = structlog.get_logger()


def tell_of_nothing(path: str, *, follow: bool, knows_some: bool) -> None:
    """Say that there is no file under the path. Raises SourceError unless there was one, or one may come."""
    why = nothing_there(path)
    if follow:
        log.info("files.waiting", path=path, reason=why)
    elif knows_some:
        log.warning("files.none", path=path, reason=why, consequence="nothing more can be read")
    else:
        raise SourceError(
            f"source.files.path {path}: {why}, so there is nothing to read. "
            "Correct the path, or wait for it with `follow: true`: --set source.files.follow=true."
        )


def lost_rest(file: FilePartition) -> SourceError:
    """Return the error for a file that was read in part and is not there any more."""
    return SourceError(
        f"{file.first_path} ({file.name}) was read up to offset {file.position}, and is now gone or holds "
        "other content: what was written after that offset would be missing from the model. Put the file "
        "back (under any name in its directory), or give up the rest with source.files.when_gone: skip."
    )


def tell_of_rest(file: FilePartition, grown: GrownError) -> None:
    """Say what is read of a file that goes on within its last record."""
    ending = grown.ending
    again = f"its last record, from offset {ending.start} on, was rejected as it stood and is read again"
    skipped = f"the line stays as it trained; the rest of it, up to offset {grown.rest}, is skipped"
    consequence = again if ending.rejected else skipped
    log.warning("files.went_on", file=file.path, position=ending.end, consequence=consequence)


def tell_what_is_other(
    path: str, files: Sequence[FilePartition], missed: Collection[FilePartition], matched: Sequence[str]
) -> None:
    """Warn if what comes next may have trained already: other content under a known name, or other files."""
    there = {file.path for file in files if file not in missed}
    last_of_name = {file.first_path: file for file in files}
    replaced = [
        file
        for file in missed
        if file is last_of_name[file.first_path] and file.first_path in matched and file.first_path not in there
    ]
    for file in replaced:
        log.warning(
            "files.replaced",
            file=file.first_path,
            consequence=f"{file.amount} were read of the earlier file and stay in the model. What is there now trains "
            "from its start, unless it begins as what was read",
        )
    if matched and files and not replaced and there.isdisjoint(matched):
        last = files[-1]
        log.warning(
            "files.others",
            path=path,
            consequence=f"none of these files was read before; the last one that was is {last.first_path} "
            f"({last.amount}). They train from their start, unless one is a copy of what was read",
        )


def tell_of_copy(file: FilePartition, match: Match, *, follow: bool) -> None:
    """Say that a file is a copy, and what is read of it: louder of files that nobody rotates."""
    original, tell = match.original, log.info if follow else log.warning
    tell(
        "files.copy",
        file=file.path,
        of=f"{original.first_path} ({original.name})",
        consequence=f"only what comes behind offset {original.position} is read" if match.more else "it is not read",
    )
