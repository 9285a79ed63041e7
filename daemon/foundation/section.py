"""The base of every settings model: frozen, strict about unknown keys, documented by its field docstrings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` where one of the known words is close, else nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else ""


class Section(BaseModel):
    """A part of the settings file. The settings reference is made from the docstrings of its fields.

    A validator raises ValueError with a problem a line. One that begins with a key of the section, dotted, is told at
    the line of that key.
    """

    access: ClassVar[tuple[str, ...]] = ()
    """The keys that hold at once, for calls of the journal too: how something is reached, by which secrets."""

    reads: ClassVar[tuple[str, ...]] = ()
    """The keys of files that have to be there when a run begins."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    def doubt(self) -> str | None:
        """Return what may be a mistake in it; None where there is nothing."""
        return None
