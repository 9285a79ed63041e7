"""`learnd predict`: what the model of a checkpoint gives for records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.values import SampleSpec, TargetSpec
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
    spec = settings.samples.spec(settings.model.task)
    header = ["record", *(name for target in spec.targets for name in _names(target, spec, classes))]
    with rows_to(output, form, file) as write:
        write([(None, header)])
        for numbers, inputs in inputs_of(settings, file):
            outputs = {name: array.tolist() for name, array in learner.predict(inputs).items()}
            rows = ({name: part[row] for name, part in outputs.items()} for row in range(len(numbers)))
            write(_row(number, row, classes) for number, row in zip(numbers.tolist(), rows, strict=True))


def _row(number: int, outputs: dict[str, list[float]], classes: Sequence[str]) -> Row:
    cells = [value for values in outputs.values() for value in values]
    if classes:  # those that were learnt: the units behind them have no name yet
        by_class = dict(zip(classes, cells, strict=False))
        return {"record": number, "prediction": by_class}, [number, *by_class.values()]
    predictions = {name: values[0] if len(values) == 1 else values for name, values in outputs.items()}
    prediction = next(iter(predictions.values())) if len(predictions) == 1 else predictions
    return {"record": number, "prediction": prediction}, [number, *cells]


def _names(target: TargetSpec, spec: SampleSpec, classes: Sequence[str]) -> Sequence[str]:
    """Return the names of a target's outputs, which are `classes` if those were learnt: one alone needs none."""
    of_target = "prediction" if len(spec.targets) == 1 else f"prediction.{target.name}"
    if target.task.outputs == 1:
        return [of_target]
    return [f"{of_target}.{name}" for name in classes or target.task.names or map(str, range(target.task.outputs))]
