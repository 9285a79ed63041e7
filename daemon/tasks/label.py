"""The settings of a label that all kinds of task share, and the forms in which a field can hold one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from learnd.daemon.foundation.section import Section

Scalar = bool | int | float | str
FieldName = Annotated[str, StringConstraints(min_length=1)]


def name_of(value: Scalar) -> str:
    """Return the name of a value, with true and false as people write them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class LabelSettings(Section):
    """What the model learns to tell. Each kind of task adds the keys that it needs."""

    field: FieldName | None = None
    """Where the label is."""

    from_: Literal["value", "key"] = Field(default="value", alias="from")
    """Whether the label is in a field of the record, or is the record's key (of a message of Kafka): a text, read as a
    cell of CSV is. `key` goes without `field`."""

    def fields(self) -> dict[str, str]:
        """Return the fields that hold the label, each with the key under `samples` that names it."""
        return {} if self.field is None else {self.field: "label"}

    @property
    def is_key(self) -> bool:
        return self.from_ == "key"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.is_key and self.field is not None:
            raise ValueError("from: the whole key is the label; leave field out, or from")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name in type(self).model_fields:
            listed = getattr(self, name)
            if isinstance(listed, list) and len(set(listed)) != len(listed):
                raise ValueError(f"{name}: list each value once")
        return self


@dataclass(frozen=True, slots=True)
class Boolean:
    """0 or 1, false or true."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A list of `size` finite numbers."""

    size: int


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of these values; what trains is its index."""

    values: Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class Learnt:
    """A value of which not all are known: each becomes a class when it first comes, up to `most` of them."""

    most: int


@dataclass(frozen=True, slots=True)
class Against:
    """This value, or any other: 1 or 0."""

    value: Scalar


@dataclass(frozen=True, slots=True)
class SomeOf:
    """A list of the names that apply, or of a 0 or 1 for each; what trains is a 0 or 1 for each."""

    names: Sequence[str]


Form: TypeAlias = Boolean | Number | Vector | OneOf | Learnt | Against | SomeOf
