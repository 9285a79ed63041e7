"""The settings of a label that all kinds of task share, and the forms in which a field can hold one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, PositiveInt, StringConstraints, model_validator

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

    from_: Literal["value", "key", "inputs"] = Field(default="value", alias="from")
    """Where the label comes from. `value`: it is in a field of the record. `key`: it is the record's key (of a message
    of Kafka), a text, read as a cell of CSV is. `inputs`, of a regression: it is the input of the model, which learns
    to give it back, as an autoencoder does. The latter two go without `field`."""

    def fields(self) -> dict[str, str]:
        """Return the fields that hold the label, each with the key under `samples` that names it."""
        return {} if self.field is None else {self.field: "label"}

    @property
    def is_key(self) -> bool:
        return self.from_ == "key"

    @property
    def is_inputs(self) -> bool:
        return self.from_ == "inputs"

    @property
    def is_tensor(self) -> bool:
        return self.is_inputs

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.from_ != "value" and self.field is not None:
            whole = "the whole key is" if self.is_key else "the inputs are"
            raise ValueError(f"from: {whole} the label; leave field out, or from")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name in type(self).model_fields:
            listed = getattr(self, name)
            if isinstance(listed, list) and len(set(listed)) != len(listed):
                raise ValueError(f"{name}: list each value once")
        return self


class TensorSettings(LabelSettings):
    """The keys of a label that may be a tensor."""

    shape: tuple[PositiveInt, ...] = ()
    """Of a label that is a sequence, an image or another tensor: its shape, such as `[24, 3]`. Its field holds nested
    lists of this shape, or a list of all elements, row by row. The model gives the same shape; of classes, a
    probability for each class in one axis more. Default: the label is one value."""

    @property
    def is_tensor(self) -> bool:
        return bool(self.shape) or super().is_tensor


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
class OneHot:
    """A list of a 0 or 1 for each of these values, of which one is 1; what trains is its index."""

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


Form: TypeAlias = Boolean | Number | Vector | OneOf | OneHot | Learnt | Against | SomeOf
