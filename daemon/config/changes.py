"""What differs between two settings, by key, and whether a running daemon can take it up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from learnd.daemon.config.fingerprint import canonical
from learnd.daemon.config.keys import join
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.foundation.section import Section


@dataclass(frozen=True, slots=True)
class Change:
    """A key with another value: a single one, a whole list, or a section that was not there before."""

    key: str
    before: Any
    after: Any
    live: bool

    def shown(self) -> dict[str, Any]:
        """Return both values, as JSON holds them."""
        return {"from": to_jsonable_python(self.before), "to": to_jsonable_python(self.after)}


def changes(before: Settings, after: Settings) -> list[Change]:
    """Return each key that differs, in the order of the sections."""
    return list(_between(before, after, ""))


def _between(before: Section, after: Section, at: str) -> Iterator[Change]:
    kind = type(before)
    for name, field in kind.model_fields.items():
        key = join(at, field.alias or name)
        yield from _of(getattr(before, name), getattr(after, name), key, live=name in kind.live)


def _of(before: Any, after: Any, key: str, *, live: bool) -> Iterator[Change]:
    if before == after and canonical(before) == canonical(after):  # to mappings, the order says nothing
        return
    if isinstance(before, SourceChoice) and before.name == after.name:
        yield from _of(before.settings, after.settings, join(key, before.name), live=live)
    elif not live and isinstance(before, Section) and type(before) is type(after):
        yield from _between(before, after, key)
    else:
        yield Change(key, before, after, live)
