"""What the settings of all sources have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from daemon.section import Section
from daemon.values import RecordFormat

RecordLimit = Annotated[int, Field(ge=1024, le=1 << 30)]
MIB = 1 << 20


class SourceSettings(Section):
    """The settings of a source, and what it can hold."""

    formats: ClassVar[tuple[str, ...]] = ()
    """What `samples.format` may be."""

    def problem_with(self, fmt: RecordFormat) -> str | None:
        """Return why records of this format cannot come from here; None where they can."""
        if fmt.name not in self.formats:
            return f"samples.format: {fmt.name} cannot be read from this source; it takes {', '.join(self.formats)}"
        if fmt.columns is not None:
            return "samples.columns: this source has a header, which names the columns; leave them out"
        return None


class MessageSettings(SourceSettings):
    """The settings of a source of messages, none of which is a header."""

    formats: ClassVar[tuple[str, ...]] = ("json", "csv", "avro", "tf_example")

    def problem_with(self, fmt: RecordFormat) -> str | None:
        if fmt.name not in self.formats or fmt.name != "csv":
            return super().problem_with(fmt)
        if fmt.columns is None:
            return "samples.columns is missing: CSV in messages has no header, so name the columns in their order"
        return None
