"""What the settings of all sources have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from learnd.daemon.foundation.section import Section
from learnd.daemon.values import RecordFormat

RecordLimit = Annotated[int, Field(ge=1024, le=1 << 30)]
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Glance:
    """What can be seen of a source before it is read."""

    where: str = ""
    columns: tuple[str, ...] | None = None  # of its first records
    problem: str | None = None  # why they cannot be read
    away: str | None = None  # what is not there yet, but may come


class SourceSettings(Section):
    """The settings of a source, and what it can hold."""

    formats: ClassVar[tuple[str, ...]] = ()
    """What `samples.format` may be."""

    keyed: ClassVar[bool] = False
    """Whether its records have keys of their own."""

    @property
    def gives_up_lost(self) -> bool:
        """Whether to go on from the checkpoint if records that the journal needs are gone."""
        return False

    def problem_with(self, fmt: RecordFormat) -> str | None:
        """Return why records of this format cannot come from here; None if they can."""
        if fmt.name not in self.formats:
            return f"samples.format: {fmt.name} cannot be read from this source; it takes {', '.join(self.formats)}"
        if fmt.columns is not None:
            return "samples.columns: this source has a header, which names the columns; leave them out"
        return None

    def keys_each(self, fmt: RecordFormat) -> bool:  # noqa: ARG002
        """Return whether each record has a key for certain."""
        return False

    def reads_file(self, file: Path) -> bool:  # noqa: ARG002  (most sources read none)
        """Return whether a file would be read as records."""
        return False

    def glance(self, fmt: RecordFormat) -> Glance:  # noqa: ARG002  (most sources cannot be looked at)
        """Look at the source without taking anything from it. Raises nothing."""
        return Glance()


class MessageSettings(SourceSettings):
    """The settings of a source of messages, which have no header."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv", "avro", "tf_example", "raw")
    keyed: ClassVar[bool] = True

    def glance(self, fmt: RecordFormat) -> Glance:
        return Glance("samples.columns", fmt.columns)

    def problem_with(self, fmt: RecordFormat) -> str | None:
        if fmt.name not in self.formats or fmt.name != "csv":
            return super().problem_with(fmt)
        if fmt.columns is None:
            return "samples.columns is missing: CSV in messages has no header, so name the columns in their order"
        return None
