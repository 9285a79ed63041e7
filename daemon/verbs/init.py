"""`learnd init`: a settings file for a file of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learnd.daemon.errors import SettingsError, StoreError
from learnd.daemon.registry import SOURCES, resolve
from learnd.daemon.tasks.registry import KINDS

verb = typer.Typer()

_FORMATS = ("json", "jsonl", "ndjson", "csv", "tsv", "parquet")


@verb.command()
def init(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="JSON, CSV or Parquet: a file, a directory or a quoted glob."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(
        "learnd.yaml"
    ),
    label: Annotated[str | None, typer.Option("--label", metavar="NAME", help="The field to learn.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="TASK", help=f"One of {', '.join(KINDS)}.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help=f"One of {', '.join(_FORMATS)}.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented settings file for DATA, from what its records show."""
    from learnd.daemon.stream.inferring.guesses import Known
    from learnd.daemon.stream.inferring.infer import infer_settings

    for option, given, choices in (("--task", task, KINDS), ("--format", form, _FORMATS)):
        if given is not None and given not in choices:
            raise SettingsError([f"{option}: {given!r} is none of {', '.join(choices)}"])
    source = resolve(SOURCES["files"].settings)(path=str(data))
    text = infer_settings(data, source.files(), source.samples, Known(label, task, form), folder=output.parent)
    if output.exists() and not force:
        raise SettingsError([f"{output} exists; give another --output, or --force to overwrite it"])
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}; give another --output") from error
    print(f"wrote {output}; look through it, then: learnd run {output}")
