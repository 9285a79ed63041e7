"""The settings of a feature: the keys of all kinds, of which exactly one kind's apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import create_model, model_validator

from learnd.daemon.stream.features.contract import FeatureKind, FeatureSettings
from learnd.daemon.stream.features.registry import KINDS
from learnd.daemon.values import InputSpec

_CHOICES = f"{', '.join(list(KINDS)[:-1])} and {list(KINDS)[-1]}"


class _OneKind(FeatureSettings):
    @property
    def kind(self) -> FeatureKind[Any]:
        """What the feature is."""
        return KINDS[self._chosen()[0]]

    def alone(self, name: str) -> InputSpec | None:
        """Return the input of the model that the feature is by itself; None if it fills columns."""
        return self.kind.alone(name, self)

    def _chosen(self) -> list[str]:
        return [key for key in KINDS if getattr(self, key) is not None]

    @model_validator(mode="after")
    def _keys_of_one_kind(self) -> Self:
        chosen = self._chosen()
        if len(chosen) != 1:
            raise ValueError(f"give exactly one of {_CHOICES}, not {chosen or 'none'}")
        mine = self.kind.settings.model_fields
        for key in self.model_fields_set - mine.keys():
            other = next(kind.key for kind in KINDS.values() if key in kind.settings.model_fields)
            raise ValueError(f"{key}: only with {other}")
        for problem in self.kind.problems(self):
            raise ValueError(problem)
        if self.default is not None and not self.kind.takes(self.default, self):
            raise ValueError(f"default: {self.default!r} is not a value of this feature")
        return self


if TYPE_CHECKING:  # a type checker cannot know what is made from the registry
    AnyFeatureSettings = _OneKind
else:
    AnyFeatureSettings = create_model(
        "AnyFeatureSettings",
        __base__=(_OneKind, *(kind.settings for kind in reversed(KINDS.values()))),
        __doc__=f"One feature: exactly one of {_CHOICES} says what it is.",
        __module__=__name__,
    )
