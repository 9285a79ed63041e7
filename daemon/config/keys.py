"""Every key that a settings file can have, and whether the model depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.foundation.section import Section
from learnd.daemon.registry import SOURCES, resolve

_ITEMS = {list: ".N", tuple: ".N", dict: ".NAME"}


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its path as in the settings reference (`drift.N.quiet`), the section that has it, the field's name."""

    path: str
    section: type[Section]
    name: str
    counts: bool


def counts(section: type[Section], name: str) -> bool:
    """Whether the model depends on a field of a section: yes, unless the section lists it as harmless or access."""
    return name not in section.harmless and name not in section.access


def join(path: str, key: str) -> str:
    """Return the path of a key of the section at `path`; the whole file is at the empty one."""
    return f"{path}.{key}" if path else key


def keys(section: type[Section] = Settings, path: str = "", *, counted: bool = True) -> Iterator[Key]:
    """Yield the keys of a section and of those within it. What is under a harmless key does not count."""
    for name, field in section.model_fields.items():
        own, of_model = join(path, field.alias or name), counted and counts(section, name)
        yield Key(own, section, name, of_model)
        for inner, inner_path in _sections(field.annotation, own):
            yield from keys(inner, inner_path, counted=of_model)


def live_keys() -> list[Key]:
    """Return the keys that a running daemon takes up when its settings are read again."""
    return [key for key in keys() if key.name in key.section.live]


def _sections(kind: Any, path: str) -> Iterator[tuple[type[Section], str]]:
    """Yield the sections that a value of a type can hold, each with its path."""
    if kind is SourceChoice:
        yield from ((resolve(entry.settings), f"{path}.{name}") for name, entry in SOURCES.items())
    elif isinstance(kind, type) and issubclass(kind, Section):
        yield kind, path
    for inner in get_args(kind):
        yield from _sections(inner, path + _ITEMS.get(get_origin(kind), ""))
