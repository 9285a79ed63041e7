"""The base of every settings model: frozen, strict about unknown keys, documented by its field docstrings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'x'?` if one of the known words is close, else nothing."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f": did you mean {close[0]!r}?" if close else ""


def meant_or_known(word: str, known: Iterable[str]) -> str:
    """Return which of the known words may be meant, and all that there are."""
    words = list(known)
    meant = did_you_mean(word, words)
    return f"{meant} There are {', '.join(words)}" if meant else f"; there are {', '.join(words)}"


class Section(BaseModel):
    """A part of the settings file. The settings reference is made from the docstrings of its fields.

    A validator raises ValueError with one problem a line. A problem that begins with a dotted key of the section is
    reported at the line of that key.
    """

    access: ClassVar[tuple[str, ...]] = ()
    """The keys that say how something is reached, and by which secrets. They take effect at once, also for calls that
    the journal repeats."""

    harmless: ClassVar[Mapping[str, str]] = {}
    """The keys that the model does not depend on, each with the reason. All others but those of `access` are part of
    the fingerprint: a change of them takes effect between two calls, and their defaults are kept with the state."""

    live: ClassVar[Mapping[str, str]] = {}
    """The keys that a running daemon takes up when its settings are read again, each with when it does. They are
    harmless, all of them. Others take effect at a restart."""

    reads: ClassVar[tuple[str, ...]] = ()
    """The keys that name files which must be there when a run begins."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )

    def doubt(self) -> str | None:
        """Return what may be a mistake in this section; None if there is nothing."""
        return None
