"""The defaults of the day, and those that a state directory began with.

An upgrade of learnd may change a default. A model that was begun with the old one goes on with it, so that it neither
changes without anybody's wish nor refuses to resume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, cast

from pydantic import TypeAdapter, ValidationError

from learnd.daemon.config.keys import counts, join, keys
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.section import Section


@dataclass(frozen=True, slots=True)
class Kept:
    """A default that goes on although today's is another one."""

    key: str
    kept: Any
    new: Any

    @property
    def way_out(self) -> str:
        """What to do to have the new value."""
        return f"write {self.key} in the settings"


def defaults() -> dict[str, Any]:
    """Return today's default of each key that the model depends on, as JSON values, by the path of the reference.

    A section that may be left out has no default of its own, but those of its keys.
    """
    return {
        key.path: _default(key.section, key.name)
        for key in keys()
        if key.counts and not (field := key.section.model_fields[key.name]).is_required()
        if not isinstance(field.get_default(), Section)
    }


def keep_defaults(settings: Settings, recorded: Mapping[str, Any]) -> tuple[Settings, list[Kept]]:
    """Return the settings with the recorded defaults for the keys that they leave out, and those that differ by now.

    What was left out stays known as left out. Raises StoreError if a recorded default is no longer a valid value.
    """
    walk = _Walk(recorded)
    return cast("Settings", walk.section(settings, "", "")), walk.kept


class _Walk:
    """Puts recorded defaults in. A value has its `place` in the file, `drift.0`, and its `path` in the reference."""

    def __init__(self, recorded: Mapping[str, Any]) -> None:
        self._recorded = recorded
        self.kept: list[Kept] = []

    def section(self, section: Section, place: str, path: str) -> Section:
        kind, values = type(section), {}
        for name, field in kind.model_fields.items():
            values[name] = getattr(section, name)
            if counts(kind, name):
                inner = [join(at, field.alias or name) for at in (place, path)]
                given = name in section.model_fields_set
                values[name] = self._inside(values[name] if given else self._default(kind, name, *inner), *inner)
        return kind.model_construct(section.model_fields_set, **values)

    def _inside(self, value: Any, place: str, path: str) -> Any:
        """Return a value with its sections' left-out keys filled in."""
        if isinstance(value, Section):
            return self.section(value, place, path)
        if isinstance(value, SourceChoice):
            return SourceChoice(
                value.name, self._inside(value.settings, join(place, value.name), join(path, value.name))
            )
        if isinstance(value, list | tuple):
            return type(value)(self._inside(item, f"{place}.{index}", f"{path}.N") for index, item in enumerate(value))
        if isinstance(value, dict):
            return {key: self._inside(item, f"{place}.{key}", f"{path}.NAME") for key, item in value.items()}
        return value

    def _default(self, kind: type[Section], name: str, place: str, path: str) -> Any:
        new = _default(kind, name)
        old = self._recorded.get(path, new)
        if old == new:
            return kind.model_fields[name].get_default()
        self.kept.append(Kept(place, old, new))
        try:
            return _adapter(kind, name).validate_python(old)
        except ValidationError as error:
            raise StoreError(
                f"{place} is left out, and its default was {old!r} when this state directory was begun, which this "
                f"learnd does not take. Nothing was changed. Write {place} in the settings."
            ) from error


def _default(section: type[Section], name: str) -> Any:
    """Return the default of a field as a settings file would hold it."""
    default = section.model_fields[name].get_default()
    return _adapter(section, name).dump_python(default, mode="json", by_alias=True, exclude_unset=True)


@cache
def _adapter(section: type[Section], name: str) -> TypeAdapter[Any]:
    field = section.model_fields[name]
    kind: Any = field.annotation
    for limit in field.metadata:
        kind = Annotated[kind, limit]
    return TypeAdapter(kind)
