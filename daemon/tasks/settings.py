"""What the settings say of the task: the names that `model.task` takes, and the section `samples.label`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias

from pydantic import create_model

from learnd.daemon.tasks.label import LabelSettings
from learnd.daemon.tasks.registry import KINDS


def _label_settings_of_all_kinds() -> tuple[type[LabelSettings], ...]:
    """Return the models as base classes of one, which Python wants in this order: each before its own bases."""
    models = dict.fromkeys(kind.label_settings for kind in reversed(list(KINDS.values())))
    return tuple(sorted(models, key=lambda model: len(model.__mro__), reverse=True))


if TYPE_CHECKING:  # a type checker cannot know what is made from the registry
    TaskName: TypeAlias = str
    AnyLabelSettings: TypeAlias = LabelSettings
else:
    TaskName = Literal[tuple(KINDS)]
    AnyLabelSettings = create_model(
        "AnyLabelSettings",
        __base__=_label_settings_of_all_kinds(),
        __doc__="What the model learns to tell. Which keys apply depends on `model.task`.",
        __module__=__name__,
    )


def label_problems(label: LabelSettings, task: str) -> Iterator[str]:
    """Yield each reason why the label's settings do not fit the task."""
    mine = KINDS[task].label_settings.model_fields
    for key in AnyLabelSettings.model_fields:
        if key in label.model_fields_set and key not in mine:
            other = next(kind.name for kind in KINDS.values() if key in kind.label_settings.model_fields)
            yield f"samples.label.{key} is for the task {other}, but model.task is {task}: change the one or the other"
    yield from KINDS[task].label_problems(label)
