"""The base of every settings model: frozen, strict about unknown keys, documented by its field docstrings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings file. Each field carries a docstring; the settings reference is made from them."""

    access: ClassVar[tuple[str, ...]] = ()
    """The keys that say how something is reached, and decide nothing that is learned: addresses, secrets."""

    reads: ClassVar[tuple[str, ...]] = ()
    """The keys of files that have to be there when a run begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True)

    def doubt(self) -> str | None:
        """Return what may be a mistake in it; None where there is nothing."""
        return None
