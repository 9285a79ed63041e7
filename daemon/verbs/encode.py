"""`learnd encode`: the input of the model, as a table."""

from __future__ import annotations

import typer

from learnd.daemon.config.place import settings_at
from learnd.daemon.errors import SettingsError
from learnd.daemon.verbs.given import Format, Output, Place, Records, inputs_of, rows_to
from learnd.daemon.verbs.options import Force

verb = typer.Typer()


@verb.command()
def encode(
    place: Place, file: Records = None, output: Output = None, form: Format = None, force: Force = False
) -> None:
    """Print what the model is given for each record: the names of the columns first, then a row for each record.

    A record needs no label. One that cannot be decoded has no row; standard error says why, and the exit code is 65.
    """
    settings = settings_at(place)
    spec = settings.samples.spec(settings.model.task)
    if other := [part for part in spec.inputs if not part.columns or part.window is not None]:
        told = f"samples: the input {other[0].name!r} is {other[0].described}, and no row of a table"
        raise SettingsError([f"{told}; take learnd.encoder in Python"])
    names = [column.name for column in spec.columns]
    with rows_to(output, form, force=force, kept=(file, place)) as write:
        write([(names, names)])
        for _, _, inputs in inputs_of(settings, file):
            write((row, row) for row in spec.matrix(inputs).tolist())
