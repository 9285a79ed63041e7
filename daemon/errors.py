"""Every error that learnd raises on purpose, each with the exit code that it ends the process with.

A message names the thing, the place, the consequence and the way out. Errors carry their data as
attributes, so that tests and logs need not parse the message.
"""

from __future__ import annotations

from collections.abc import Sequence


def not_utf8(data: bytes) -> str | None:
    """Return why bytes are no UTF-8 text, and the way out; None where they are. A NUL is in no such text here."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start}"
    else:
        if b"\0" not in data:
            return None
        why = "not UTF-8: it holds NULs"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        return f"{why}, but UTF-16, as it seems; convert the file: iconv -f UTF-16 -t UTF-8"
    return f"{why}; convert the file, from Latin-1 for example: iconv -f ISO-8859-1 -t UTF-8"


class LearndError(Exception):
    """The root of the tree: an error that a user can act on; shown without a traceback."""

    exit_code = 70


class StoppedError(LearndError):
    """Raised when a signal came before there was anything to save."""

    exit_code = 0


class RestartError(Exception):
    """Raised when the same command has to go on in a new process. Nothing is wrong, and everything is saved."""


class SettingsError(LearndError):
    """Raised when the settings file, an override or a build function cannot be used."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class DataError(LearndError):
    """Raised when the stream itself is unfit: too many rejected records, for one."""

    exit_code = 65


class SourceError(LearndError):
    """Raised when the source cannot be read, or no longer holds what a resume needs."""

    exit_code = 74


class LostError(SourceError):
    """Raised when records that calls of the journal were made of are gone from the source for good."""


class StoreError(LearndError):
    """Raised when the state directory cannot be read or written."""

    exit_code = 74


class OutputError(StoreError):
    """Raised when an output is refused for good, so that no checkpoint can be made any more."""


class StateMismatchError(StoreError):
    """Raised when a checkpoint holds variables that the model of these settings does not have, or the reverse."""


class LockedError(StoreError):
    """Raised when another daemon holds the state directory."""


class FencedError(StoreError):
    """Raised when another daemon took over the state directory since this one started."""


class ModelError(LearndError):
    """Raised when the model cannot be built, or its shapes do not fit the samples."""

    exit_code = 78
