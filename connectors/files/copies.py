"""Recognises a file that is a copy of one that was read before, compressed or not, by how its records begin.

Rotation leaves such copies: `copytruncate`, and `gzip` of a file that was renamed. Up to 16 MiB of records count,
and the last 64 KiB before the point that was read to: all of it if the original is still there, or if this run read it,
else what its notes say, which is at least half of it. Of a copy that is shorter than what was read, all is compared if
the original is still there, else at least half. Less than a kilobyte of records, or a shorter copy of a file that is
gone, counts only under the name of the original with something behind it, as in `app.jsonl.1`, or if it is the very
file, cut within its first kilobyte, or an array that was written again: all its lines are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learnd.connectors.files.content import LEAST_BYTES, MOST_BYTES, Survey
from learnd.connectors.files.identity import ReplacedError
from learnd.connectors.files.partition import FilePartition
from learnd.daemon.errors import SourceError

_END_BYTES = 1 << 16  # of the records before the point that was read to


@dataclass(frozen=True, slots=True)
class Match:
    """A file and the one that it is a copy of."""

    original: FilePartition
    whole: bool  # it holds all that was read of the original
    more: bool  # it goes on behind that, and behind the end that the original has now
    certain: bool  # all of it was compared, or its name says the same


class Copies:
    """The files that were read so far, by their content."""

    def __init__(self) -> None:
        self._by_print: dict[str, dict[int, FilePartition]] = {}  # the digest of the first kilobyte of records
        self._by_name: dict[str, dict[int, FilePartition]] = {}  # those with less, by the names that they had
        self._by_path: dict[str, dict[int, FilePartition]] = {}

    def add(self, file: FilePartition) -> None:
        """Remember a file that was read, that more was read of, or that has another name now."""
        for path in (file.first_path, file.path) if file.prints else ():
            self._by_path.setdefault(path, {})[file.order] = file
        if LEAST_BYTES in file.prints:
            self._by_print.setdefault(file.prints[LEAST_BYTES], {})[file.order] = file
        elif file.prints:
            for path in (file.first_path, file.path):
                self._by_name.setdefault(Path(path).name, {})[file.order] = file

    def original_of(self, file: FilePartition) -> Match | None:
        """Return what a file is a copy of, the one of which most was read; None if it is other content."""
        if not self._by_path:
            return None
        try:
            with file.survey() as survey:
                matches = [found for other in self._alike(file, survey) if (found := _match(file, other, survey))]
        except (FileNotFoundError, ReplacedError, SourceError):
            return None  # reading it says what is wrong
        return max(matches, key=lambda match: match.original.position, default=None)

    def is_unclear(self, file: FilePartition, match: Match | None) -> bool:
        """Whether a file that is still being written may prove to be a copy: it is alike as far as it goes."""
        if match is not None or file.is_plain:
            return match is not None and not match.whole
        try:
            with file.survey() as survey:
                return survey.is_short
        except (FileNotFoundError, ReplacedError, SourceError):
            return False

    def _alike(self, file: FilePartition, survey: Survey) -> Sequence[FilePartition]:
        """Return the files that a file may be a copy of."""
        alike = self._by_print.get(survey.digest(LEAST_BYTES) or "", {}) | self._by_path.get(file.path, {})
        name = Path(file.path).name
        for length in range(1, len(name)):
            alike |= self._by_name.get(name[:length], {})
        return [other for other in alike.values() if other is not file]


def _match(file: FilePartition, original: FilePartition, survey: Survey) -> Match | None:
    """Compare a file with one that was read, from its start up to the first difference."""
    compared = 0
    for length, digest in sorted(original.prints.items()):
        found = survey.digest(length)
        if found is None:
            break
        if found != digest:
            return None
        compared = length
    same_file = file.identity.key == original.identity.key
    names = (original.first_path, original.path)
    named_after = any(_is_named_after(file.path, path) for path in names)
    same_place = file.path in names and (same_file or file.is_array)  # an inode alone is taken by the next file
    if compared == 0 or (compared < LEAST_BYTES and not named_after and not same_place):
        return None
    around = survey.around(original.read_to)
    if compared < max(original.prints) or not around:
        if compared >= LEAST_BYTES:
            return _shorter(original, survey, named_after)
        return _cut(original, survey, compared) if same_place else None
    ends_there = around[:1] == b"\n" or original.ended_in_a_line
    if not ends_there or not _same_further(file, original, compared):
        return None
    reach = original.read_to if same_file else original.reach()
    return Match(original, whole=True, more=len(survey.around(reach)) > 1, certain=True)


def _same_further(file: FilePartition, original: FilePartition, compared: int) -> bool:
    """Whether a file is as the original up to where that was read, as far as the original can still tell.

    After a restart its notes hold digests of a part of it alone, and of more than 16 MiB none are taken.
    """
    try:
        with file.survey() as mine, original.survey() as other:
            read = original.read_to - other.begin
            length = min(read, MOST_BYTES)
            if read == compared or other.digest(compared) != original.prints[compared]:
                return True  # nothing is left to compare, or the original was cut since
            ours, theirs = mine.digest(length), other.digest(length)
            ends = (mine.before(original.read_to, _END_BYTES), other.before(original.read_to, _END_BYTES))
    except (FileNotFoundError, ReplacedError, SourceError):
        return True
    return theirs is None or (ours == theirs and ends[0] == ends[1])


def _cut(original: FilePartition, survey: Survey, compared: int) -> Match | None:
    """Compare a file with what was read of it before it was cut: all its lines but one that is not whole yet."""
    length, _ = survey.all_of_it()
    whole = b"\n" not in survey.before(survey.begin + length, length - compared)
    return Match(original, whole=False, more=False, certain=True) if whole else None


def _shorter(original: FilePartition, survey: Survey, named_after: bool) -> Match | None:
    """Compare a file that is shorter than what was read of another one, if that is still there, with all of it."""
    length, digest = survey.all_of_it()
    try:
        with original.survey() as other:
            there = other.digest(length)
    except (FileNotFoundError, ReplacedError, SourceError):
        there = None
    if there is None:
        return Match(original, whole=False, more=False, certain=named_after)
    return Match(original, whole=False, more=False, certain=True) if there == digest else None


def _is_named_after(path: str, original: str) -> bool:
    name, base = Path(path).name, Path(original).name
    return len(name) > len(base) and name.startswith(base) and not name[len(base)].isalnum()
