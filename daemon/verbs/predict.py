"""`learnd predict`: what the model of a checkpoint gives for records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.values import FEATURES, LABEL, Task
from learnd.daemon.verbs.checkpoints import restored_learner
from learnd.daemon.verbs.given import Format, Output, Place, Records, Row, inputs_of, rows_to

verb = typer.Typer()


@verb.command()
def predict(
    place: Place,
    file: Records = None,
    output: Output = None,
    form: Format = None,
    sequence: Annotated[
        int | None, typer.Option("--sequence", help="The checkpoint's number. Default: the newest.")
    ] = None,
) -> None:
    """Print the model's prediction for each record: with the number of the record, from 1 on.

    A record needs no label. One that cannot be decoded has no row; standard error says why, and the exit code is 65.
    """
    root = state_at(place)
    settings = settings_of_state(root)  # those that the model was trained with
    checkpoint = checkpoint_of(root, sequence)
    learner, classes = restored_learner(root, checkpoint), checkpoint.manifest["classes"]
    header = ["record", *_names(settings.samples.spec(settings.model.task).task, classes)]
    with rows_to(output, form, file) as write:
        write([(None, header)])
        for numbers, inputs in inputs_of(settings, file):
            outputs = learner.predict({FEATURES: inputs})[LABEL]
            write(_row(number, row, classes) for number, row in zip(numbers.tolist(), outputs.tolist(), strict=True))


def _row(number: int, outputs: list[float], classes: Sequence[str]) -> Row:
    if classes:  # those that were learnt: the units behind them have no name yet
        by_class = dict(zip(classes, outputs, strict=False))
        return {"record": number, "prediction": by_class}, [number, *by_class.values()]
    prediction = outputs[0] if len(outputs) == 1 else outputs
    return {"record": number, "prediction": prediction}, [number, *outputs]


def _names(task: Task, classes: Sequence[str]) -> Sequence[str]:
    """Return the names of the outputs, which are `classes` if those were learnt: one alone needs none."""
    if task.outputs == 1:
        return ["prediction"]
    return [f"prediction.{name}" for name in classes or task.names or map(str, range(task.outputs))]
