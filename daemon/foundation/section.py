"""The base of every settings model: frozen, strict about unknown keys, documented by its field docstrings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` if one of the known words is close, else an empty string."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else ""


class Section(BaseModel):
    """A part of the settings file. The settings reference is made from the docstrings of its fields.

    A validator raises ValueError with one problem per line. If a problem begins with a (dotted) key of the section, it
    is reported at the line of that key.
    """

    access: ClassVar[tuple[str, ...]] = ()
    """Keys that say how to reach something, with which secrets. A new value is used at once, even for calls that a
    resume repeats from the journal.
    """

    reads: ClassVar[tuple[str, ...]] = ()
    """Keys of files that must exist when a run begins."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    def doubt(self) -> str | None:
        """Return what may be a mistake in this section; None if nothing is."""
        return None
