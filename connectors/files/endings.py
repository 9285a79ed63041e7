"""Where a file ended, if not behind a line: what was read there may go on when the file grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from learnd.connectors.files.splitters import Records
from learnd.daemon.errors import SourceError


@dataclass(frozen=True, slots=True)
class Ending:
    """The last bytes of a file that became records only because the file ended there.

    `start` is where they begin, `end` where the file ended. `rejected`: none of them can have trained, so that they
    may be read again once they are whole.
    """

    start: int
    end: int
    rejected: bool

    @classmethod
    def of(cls, found: Sequence[Records], end: int, form: str) -> Ending | None:
        """Return the ending that gave these records; None if it gave none."""
        if not found:
            return None
        return cls(found[0].start, end, all(_is_rejected(records, form) for records in found))


class GrownError(Exception):
    """Raised when a file goes on within what was read as its last record.

    `rest` is where to read on: at the start of that record if it was rejected, else behind it; None if its end is not
    there yet.
    """

    def __init__(self, ending: Ending, rest: int | None) -> None:
        self.ending = ending
        self.rest = rest
        super().__init__(f"the record at {ending.start} goes on after {ending.end}")

    def refusal(self, file: str) -> SourceError:
        """Return the error for a record that has trained as it stood."""
        return SourceError(
            f"{file} goes on in the middle of a line: its last line, from offset {self.ending.start} to "
            f"{self.ending.end}, had no end when it was read, and was a record as it stood. Read on from there, the "
            "rest of it would train as a record of its own. Start afresh in another state directory, or give up the "
            "rest of that line with source.files.when_gone: skip. Follow a file that is still written to "
            "(source.files.follow): then a line is read when it has its end."
        )


def _is_rejected(records: Records, form: str) -> bool:
    """Whether no decoder can accept any of these records: broken ones, and JSON that is cut short."""
    if len(records.defects or {}) == len(records):
        return True
    return form == "json" and all(isinstance(value, bytes) and _stops_short(value) for value in records.values)


def _stops_short(value: bytes) -> bool:
    """Whether an object has no end."""
    text = value.decode("utf-8", "replace").rstrip()
    if not text.endswith("}"):
        return True
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos == len(text)
    except RecursionError:
        return False
    return False
