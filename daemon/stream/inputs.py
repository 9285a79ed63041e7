"""Which features fill which input of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, PositiveInt

from learnd.daemon.foundation.section import Section
from learnd.daemon.stream.features.settings import AnyFeatureSettings
from learnd.daemon.tasks.label import FieldName
from learnd.daemon.values import FEATURES


class InputSettings(Section):
    """One input of the model."""

    features: Annotated[list[FieldName], Field(min_length=1)]
    """The features that fill it, row by row."""

    shape: tuple[PositiveInt, ...] = ()
    """Its shape without the dimension of the samples. Default: a vector."""


def usual_inputs(features: Mapping[str, AnyFeatureSettings]) -> dict[str, InputSettings]:
    """Return the inputs if none are named: all columns are one, and an image or a text beside others is one by its own
    name.
    """
    alone = [name for name, feature in features.items() if feature.alone(name) is not None]
    columns = [name for name in features if name not in alone]
    if len(alone) + bool(columns) == 1:
        return {FEATURES: InputSettings(features=[*columns, *alone])}
    named = {name: InputSettings(features=[name]) for name in alone}
    return {FEATURES: InputSettings(features=columns), **named} if columns else named


def problem_with_names(features: Mapping[str, AnyFeatureSettings]) -> str | None:
    """Return why a feature that is an input of its own cannot be one by its name; None if all can."""
    for name in features if len(features) > 1 else ():
        if (name != FEATURES and "/" not in name) or features[name].alone(name) is None:
            continue
        why = f"{name!r} is the name of that with all columns" if name == FEATURES else "its name cannot have a /"
        return f"features.{name}: it is an input of its own, and {why}; give it another name, and `field: {name}`"
    return None
