"""`learnd predict`: what the model of a checkpoint gives for records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import typer

from learnd.daemon.config.place import settings_of_state, state_at
from learnd.daemon.evaluation.giving_back import errors_of_giving_back
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.tasks.elements import side_by_side
from learnd.daemon.values import RAW, Arrays, SampleSpec, TargetSpec, as_json, said_rows
from learnd.daemon.verbs.checkpoints import SequenceOption, restored_certainty, restored_learner
from learnd.daemon.verbs.given import Format, Output, Place, Records, Row, inputs_of, rows_to
from learnd.daemon.verbs.options import Force

verb = typer.Typer()


@verb.command()
def predict(
    place: Place,
    file: Records = None,
    output: Output = None,
    form: Format = None,
    sequence: SequenceOption = None,
    force: Force = False,
) -> None:
    """Print the model's prediction for each record: with the number of the record, from 1 on, and the name of a whole
    file.

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
    by_key = ["key"] if settings.samples.format == RAW else []  # of whole files: their names
    header = ["record", *by_key, *names, *keys]
    with rows_to(output, form, force=force, kept=(file, place)) as write:
        write([(None, header)])
        for numbers, of_records, inputs in inputs_of(settings, file):
            arrays = learner.predict(inputs)
            said = {
                name: part.stand(arrays[name], len(classes) if classes else None) for name, part in certainty.items()
            }
            said |= errors_of_giving_back(spec, arrays, inputs)
            arrays = {**arrays, **{name: part.outputs for name, part in said.items()}}
            beside = list(said_rows(said, classes, alone=len(arrays) == 1)) if said else [{}] * len(numbers)
            told = [{"record": number} for number in numbers.tolist()]
            if by_key:
                told = [{**one, "key": key} for one, key in zip(told, of_records, strict=True)]
            write(_rows(told, arrays, beside, classes))


def _tell_what_is_left_out(how: str, way_out: str) -> None:
    print(
        "learnd: warning: nothing of `certainty` is said with these predictions. It was learnt from those in the "
        f"stream, and here the model predicts {how}: its intervals, sets, temperature and decisions would not hold. "
        f"Those that the run writes (`predictions`) have them. To have them here too, {way_out}, and train in a new "
        "--state directory.",
        file=sys.stderr,
    )


def _rows(
    told: Sequence[Mapping[str, Any]], outputs: Arrays, beside: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of records of which this is `told`, given the outputs of each target (n, ...)."""
    values = {name: as_json(array) for name, array in outputs.items()}
    cells = np.concatenate([side_by_side(array) for array in outputs.values()], axis=1).tolist()
    for index, (one, row, said) in enumerate(zip(told, cells, beside, strict=True)):
        of_targets = {name: its[index] for name, its in values.items()}
        prediction = next(iter(of_targets.values())) if len(of_targets) == 1 else of_targets
        if classes:  # those that were learnt: the units behind them have no name yet
            prediction = dict(zip(classes, row, strict=False))
        named = row[: len(classes)] if classes else row
        yield {**one, "prediction": prediction, **said}, [*one.values(), *named, *map(_cell, said.values())]


def _cell(value: Any) -> str:
    """Return what is said with a prediction as one cell of CSV: a word as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _names(target: TargetSpec, spec: SampleSpec, classes: Sequence[str]) -> Sequence[str]:
    """Return the names of a target's outputs, which are `classes` if those were learnt: one alone needs none."""
    of_target = "prediction" if len(spec.targets) == 1 else f"prediction.{target.name}"
    shape = () if target.of_input is not None else target.task.output_shape
    if shape in ((), (1,)):
        return [of_target]
    named = classes or (target.task.names if target.task.outputs > 1 else ())
    last = named or map(str, range(shape[-1]))
    axes = product(*(map(str, range(size)) for size in shape[:-1]), last)
    return [f"{of_target}.{'.'.join(axis)}" for axis in axes]
