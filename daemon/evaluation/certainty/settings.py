"""Settings of what is said with predictions: the section `certainty`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Task

_FITTING = {
    "coverage": ("binary", "classes", "regression"),
    "calibrate": ("binary", "classes"),
    "decide": ("binary",),
}
"""The tasks that each key is for."""


class CostSettings(Section):
    """What wrong decisions cost, in any unit."""

    false_positive: PositiveFloat
    """The cost of a decision for the positive value if the label is the negative one."""
    false_negative: PositiveFloat
    """The cost of a decision for the negative value if the label is the positive one."""


class DecideSettings(Section):
    """What a decision is to be best in."""

    cost: CostSettings
    """The least cost."""


class CertaintySettings(Section):
    """What is said with predictions. It is learnt from those made before each update, and never changes the model."""

    coverage: Annotated[float, Field(ge=0.5, le=0.99)] | None = None
    """The share of labels that intervals (of a regression) or sets of classes are to hold, such as 0.9. Default: there
    are neither."""
    calibrate: Literal["temperature"] | None = None
    """Of a binary task or of classes: divide the logits of predictions by a temperature that is fitted on the stream.
    Default: probabilities are the model's own."""
    decide: Literal["f1"] | DecideSettings | None = None
    """Of a binary task: decide for one of the two values by the threshold that was best lately, in F1 or in cost:
    `{cost: {false_positive: 1, false_negative: 20}}`. Default: nothing is decided."""


def problems_with_certainty(certainty: CertaintySettings, tasks: Sequence[Task]) -> Iterator[str]:
    """Yield each key that none of the tasks has a use for."""
    kinds = dict.fromkeys(f"{task.kind} of labels with a shape" if task.shape else task.kind for task in tasks)
    for key, fitting in _FITTING.items():
        if getattr(certainty, key) is not None and not any(is_for(key, task) for task in tasks):
            yield (
                f"certainty.{key}: it is for the task {' or '.join(fitting)}, but model.task is {', '.join(kinds)}, so "
                "nothing would come of it; leave it out"
            )


def is_for(key: str, task: Task) -> bool:
    """Whether a key of `certainty` is for a task. Of tensors nothing is said."""
    return task.kind in _FITTING[key] and not task.shape
