"""`learnd predict`: what the model of a checkpoint gives for records."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.values import SampleSpec, TargetSpec, said_rows
from learnd.daemon.verbs.checkpoints import SequenceOption, restored_certainty, restored_learner
from learnd.daemon.verbs.given import Format, Output, Place, Records, Row, inputs_of, rows_to

verb = typer.Typer()


@verb.command()
def predict(
    place: Place,
    file: Records = None,
    output: Output = None,
    form: Format = None,
    sequence: SequenceOption = None,
) -> None:
    """Print the model's prediction for each record: with the number of the record, from 1 on.

    A record needs no label. One that cannot be decoded has no row; standard error says why, and the exit code is 65.
    """
    root = state_at(place)
    settings = settings_of_state(root)  # those that the model was trained with
    checkpoint = checkpoint_of(root, sequence)
    learner, classes = restored_learner(root, checkpoint), checkpoint.manifest["classes"]
    spec = settings.samples.spec(settings.model.task)
    certainty = restored_certainty(settings, checkpoint)
    if certainty and learner.served_otherwise is not None:
        _tell_what_is_left_out(*learner.served_otherwise)
        certainty = {}
    names = [name for target in spec.targets for name in _names(target, spec, classes)]
    keys = dict.fromkeys(key for part in certainty.values() for key in part.keys)
    header = ["record", *names, *keys]
    with rows_to(output, form, file) as write:
        write([(None, header)])
        for numbers, inputs in inputs_of(settings, file):
            arrays = learner.predict(inputs)
            said = {
                name: part.stand(arrays[name], len(classes) if classes else None) for name, part in certainty.items()
            }
            arrays = {**arrays, **{name: part.outputs for name, part in said.items()}}
            outputs = {name: array.tolist() for name, array in arrays.items()}
            rows = [{name: part[row] for name, part in outputs.items()} for row in range(len(numbers))]
            beside = list(said_rows(said, classes, alone=len(outputs) == 1)) if said else [{}] * len(rows)
            write(_row(*of, classes) for of in zip(numbers.tolist(), rows, beside, strict=True))


def _tell_what_is_left_out(how: str, way_out: str) -> None:
    print(
        "learnd: warning: nothing of `certainty` is said with these predictions. It was learnt from those in the "
        f"stream, and here the model predicts {how}: its intervals, sets, temperature and decisions would not hold. "
        f"Those that the run writes (`predictions`) have them. To have them here too, {way_out}, and train in a new "
        "--state directory.",
        file=sys.stderr,
    )


def _row(number: int, outputs: dict[str, list[float]], said: Mapping[str, Any], classes: Sequence[str]) -> Row:
    cells = [value for values in outputs.values() for value in values]
    if classes:  # those that were learnt: the units behind them have no name yet
        by_class = dict(zip(classes, cells, strict=False))
        return {"record": number, "prediction": by_class, **said}, [
            number,
            *by_class.values(),
            *map(_cell, said.values()),
        ]
    predictions = {name: values[0] if len(values) == 1 else values for name, values in outputs.items()}
    prediction = next(iter(predictions.values())) if len(predictions) == 1 else predictions
    return {"record": number, "prediction": prediction, **said}, [number, *cells, *map(_cell, said.values())]


def _cell(value: Any) -> str:
    """Return what is said with a prediction as one cell of CSV: a word as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _names(target: TargetSpec, spec: SampleSpec, classes: Sequence[str]) -> Sequence[str]:
    """Return the names of a target's outputs, which are `classes` if those were learnt: one alone needs none."""
    of_target = "prediction" if len(spec.targets) == 1 else f"prediction.{target.name}"
    if target.task.outputs == 1:
        return [of_target]
    return [f"{of_target}.{name}" for name in classes or target.task.names or map(str, range(target.task.outputs))]
