"""The fields of a record that are read, and the msgspec type that decodes only these."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec

from learnd.daemon.errors import SettingsError

Path: TypeAlias = tuple[str, ...]
_FLAT_FORMATS = frozenset({"csv", "tf_example"})  # a dot in a field's name has no meaning
_DOT = re.compile(r"(?<!\\)\.")
_NOT_IN_A_NAME = re.compile(r'["\\\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the records. msgspec decodes it to `json_type`. An optional field may be missing or null."""

    name: str  # as in the settings
    path: Path
    json_type: Any
    optional: bool


def split_path(name: str) -> Path:
    """Return the steps into nested objects: `user.age` has two. A dot after a backslash is part of a name."""
    return tuple(step.replace("\\.", ".") for step in _DOT.split(name))


def field_path(form: str, name: str) -> Path:
    """Return the path of a field in records of a format."""
    return (name,) if form in _FLAT_FORMATS else split_path(name)


def merged(uses: Iterable[Field]) -> dict[Path, Field]:
    """Return one field for each path. If uses need different types, it has type Any, and each use checks the value."""
    fields: dict[Path, Field] = {}
    for use in uses:
        known = fields.get(use.path, use)
        json_type = use.json_type if known.json_type == use.json_type else Any
        fields[use.path] = Field(use.name, use.path, json_type, use.optional and known.optional)
    return fields


@dataclass(frozen=True, slots=True)
class RowType:
    """A msgspec Struct of the fields. `attrgetter(attributes[path])` reads the field at a path."""

    struct: type[msgspec.Struct]
    attributes: dict[Path, str]

    @classmethod
    def of(cls, fields: Iterable[Field], *, forbid_extra: bool) -> RowType:
        """Raises SettingsError if a field is both a value and an object, or if its name cannot be used."""
        attributes: dict[Path, str] = {}
        struct = _struct(list(fields), 0, "", attributes, forbid_extra=forbid_extra)
        return cls(struct, attributes)

    def getter(self, paths: Iterable[Path]) -> attrgetter[Any]:
        return attrgetter(*(self.attributes[path] for path in paths))

    def careful_getter(self, path: Path) -> Callable[[msgspec.Struct], Any]:
        """Return a function that reads the field, or None if an object that holds it is null."""
        steps = self.attributes[path].split(".")
        return lambda struct: reduce(_attribute, steps, struct)

    def tuple_getter(self, paths: Sequence[Path]) -> Callable[[msgspec.Struct], tuple[Any, ...]]:
        """Return a function that reads two or more fields at once."""
        if list(self.attributes) == list(paths) and all(len(path) == 1 for path in paths):
            return msgspec.structs.astuple  # all fields, in order: twice as fast
        return self.getter(paths)


def _attribute(holder: Any, name: str) -> Any:
    return getattr(holder, name, None)


def _struct(
    fields: list[Field], depth: int, prefix: str, attributes: dict[Path, str], *, forbid_extra: bool
) -> type[msgspec.Struct]:
    """Build the Struct of these fields, whose paths all have the same first `depth` steps."""
    members: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    rename: dict[str, str] = {}
    for number, (step, inside) in enumerate(_grouped(fields, depth).items()):
        attribute = f"f{number}"
        rename[attribute] = step
        if len(inside[0].path) == depth + 1:
            attributes[inside[0].path] = prefix + attribute
            members.append(
                (attribute, inside[0].json_type | None, None)
                if inside[0].optional
                else (attribute, inside[0].json_type)
            )
            continue
        nested = _struct(inside, depth + 1, f"{prefix}{attribute}.", attributes, forbid_extra=forbid_extra)
        optional = all(field.optional for field in inside)
        members.append(
            (attribute, nested | None, msgspec.field(default_factory=nested)) if optional else (attribute, nested)
        )
    return msgspec.defstruct(
        "Record", members, rename=rename, gc=False, kw_only=True, forbid_unknown_fields=forbid_extra
    )


def _grouped(fields: list[Field], depth: int) -> dict[str, list[Field]]:
    """Group the fields by the next step of their paths."""
    groups: dict[str, list[Field]] = {}
    for field in fields:
        step = field.path[depth]
        if not step or _NOT_IN_A_NAME.search(step):
            raise SettingsError(
                [f"samples: {field.name!r} cannot be the name of a field: it is empty or holds \\ or quotes"]
            )
        groups.setdefault(step, []).append(field)
    for inside in groups.values():
        ends = [field for field in inside if len(field.path) == depth + 1]
        if ends and len(inside) > 1:
            raise SettingsError([f"samples: the field {ends[0].name!r} is read both as a value and as an object"])
    return groups
