"""The contract of a kind of feature: how it is declared, read, and laid out in the columns of the input."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeAlias, TypeVar

from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.decoding.columns import ColumnReader, InputReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.tasks.label import FieldName, Scalar
from learnd.daemon.values import Column, InputSpec

Default: TypeAlias = Scalar | list[float]


class FeatureSettings(Section):
    """The keys that features of all kinds share. Each kind adds those that it reads."""

    field: FieldName | None = None
    """Where the value is, if not under the feature's own name. `user.age` is the field `age` in the object `user`,
    except in CSV; `user\\.age` is a name with a dot."""

    default: Default | None = None
    """The value if it is missing, null, NaN, empty in CSV, or one of the words `samples.missing`. Without a default,
    such a record is rejected."""


Settings = TypeVar("Settings", bound=FeatureSettings)


class FeatureKind(ABC, Generic[Settings]):
    """What a kind of feature means. Stateless: one instance of each kind is in the registry.

    To add a kind, write a module that ends with `KIND = MyKind()` and name the module in `registry.py`.
    """

    key: ClassVar[str]
    """The key that chooses the kind. A feature has exactly one of the kinds' keys."""

    settings: type[Settings]
    """All keys of the kind. Those of all kinds together make up the settings of a feature."""

    @abstractmethod
    def columns(self, name: str, feature: Settings) -> Iterator[Column]:
        """Yield the columns of the input that the feature fills."""

    def alone(self, name: str, feature: Settings) -> InputSpec | None:  # noqa: ARG002
        """Return the input of the model that the feature is by itself; None if it fills columns."""
        return None

    @abstractmethod
    def reader(self, feature: Settings, texts: Texts) -> ColumnReader | InputReader:
        """Return what turns the feature's values into as many numbers. `texts` says how text is to be read."""

    @abstractmethod
    def takes(self, default: Default, feature: Settings) -> bool:
        """Return whether a value can stand in for a missing one."""

    def problems(self, feature: Settings) -> Iterator[str]:  # noqa: ARG002
        """Yield what is wrong with the settings of a feature of this kind."""
        yield from ()


class InputKind(FeatureKind[Settings]):
    """A kind of feature that is an input of its own, and fills no column."""

    def columns(self, name: str, feature: Settings) -> Iterator[Column]:  # noqa: ARG002
        yield from ()

    @abstractmethod
    def alone(self, name: str, feature: Settings) -> InputSpec: ...

    @abstractmethod
    def reader(self, feature: Settings, texts: Texts) -> InputReader: ...
