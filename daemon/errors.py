"""Every error that learnd raises on purpose, with the exit code of a process that ends with it.

A message names the thing, the place, the consequence and the way out. Errors carry their data as attributes, so that
tests and logs need not parse the message.
"""

from __future__ import annotations

from collections.abc import Sequence


def not_utf8(data: bytes) -> str | None:
    """Return why bytes are not UTF-8 text, and the way out; None if they are. A NUL counts as an error."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start}"
    else:
        if b"\0" not in data:
            return None
        why = "not UTF-8: it holds NULs"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        return f"{why}, but probably UTF-16; convert the file: iconv -f UTF-16 -t UTF-8"
    return f"{why}; convert the file, for example from Latin-1: iconv -f ISO-8859-1 -t UTF-8"


class LearndError(Exception):
    """The base of all others: an error that a user can act on. It is shown without a traceback."""

    exit_code = 70


class StoppedError(LearndError):
    """Raised when a signal arrives before there is anything to save."""

    exit_code = 0


class RestartError(Exception):
    """Raised when the command must continue in a new process. Nothing is wrong, and everything is saved."""


class SettingsError(LearndError):
    """Raised when the settings file, an override or a build function cannot be used."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class DataError(LearndError):
    """Raised when the stream itself cannot be used, for example because too many records are rejected."""

    exit_code = 65


class SourceError(LearndError):
    """Raised when the source cannot be read, or no longer holds what a resume needs."""

    exit_code = 74


class LostError(SourceError):
    """Raised when the source has lost, for good, records of calls that are in the journal."""


class StoreError(LearndError):
    """Raised when the state directory cannot be read or written."""

    exit_code = 74


class OutputError(StoreError):
    """Raised when an output can never be written again, so that no more checkpoints can be made."""


class StateMismatchError(StoreError):
    """Raised when a checkpoint holds variables that the model of these settings does not have, or the reverse."""


class LockedError(StoreError):
    """Raised when another daemon holds the state directory."""


class FencedError(StoreError):
    """Raised when another daemon has taken over the state directory since this one started."""


class ModelError(LearndError):
    """Raised when the model cannot be built, or its shapes do not fit the samples."""

    exit_code = 78
