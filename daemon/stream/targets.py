"""The outputs of the model: which label each learns to tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from learnd.daemon.tasks.contract import ErrorRange
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.tasks.settings import AnyLabelSettings
from learnd.daemon.values import ColumnKind, InputSpec, TargetSpec, Task


@dataclass(frozen=True, slots=True)
class Target:
    """A label that is read, for an output of the model."""

    name: str
    key: str  # under `samples`
    label: AnyLabelSettings
    task: str
    loss_weight: float


def problems_of_copies(targets: Sequence[Target], inputs: Sequence[InputSpec]) -> Iterator[str]:
    """Yield what is wrong with labels that are inputs."""
    named = {part.name: part for part in inputs}
    for target in targets:
        if not target.label.is_inputs or target.task != "regression":
            continue
        name = _input_of(target, inputs)
        if name not in named:
            known = ", ".join(named)
            said = "say which of them by `input`" if name is None else f"{name!r} is none of them"
            yield f"samples.{target.key}.input: there are the inputs {known}; {said}"
        elif of_words := [column.name for column in named[name].columns if column.kind is ColumnKind.CATEGORY]:
            yield (
                f"samples.{target.key}.from: the feature {of_words[0]!r} is a category, whose index is no number "
                "to give back; leave it out, or put it in another input"
            )
        elif named[name].vocabulary_size:
            yield (
                f"samples.{target.key}.from: the input {name!r} is a text, whose ids are no numbers to give back; "
                "name another one by `input`"
            )


def _input_of(target: Target, inputs: Sequence[InputSpec]) -> str | None:
    """Return the name of the input that is the label; None if it is missing."""
    named: str | None = getattr(target.label, "input", None)
    return named or (inputs[0].name if len(inputs) == 1 else None)


def target_spec(target: Target, inputs: Sequence[InputSpec], numbers: Mapping[str, str]) -> TargetSpec:
    """Return what is learnt for an output. `numbers` are the columns that hold a number as it is, by their fields."""
    task = KINDS[target.task].task(target.label)
    if not target.label.is_inputs:
        column = _in_window(target, task, inputs[0], numbers)
        return TargetSpec(target.name, task, target.loss_weight, in_window=column)
    (given,) = [part for part in inputs if part.name == _input_of(target, inputs)]
    return TargetSpec(target.name, replace(task, shape=given.shape), target.loss_weight, given.name)


def _in_window(target: Target, task: Task, given: InputSpec, numbers: Mapping[str, str]) -> int | None:
    """Return the column of a window that holds the labels of its records, if they are numbers and it has one."""
    is_number = KINDS[task.kind].error_range is ErrorRange.UNBOUNDED and task.label_columns == 1 and not task.shape
    column = numbers.get(target.label.field or "")
    if given.window is None or not is_number or column is None:
        return None
    return next((index for index, its in enumerate(given.columns) if its.name == column), None)
