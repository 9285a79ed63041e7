"""`learnd init`: a settings file for a file of records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnd.daemon.errors import SourceError, StoreError
from learnd.daemon.registry import SOURCES, resolve
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.verbs.options import Force, check_output

if TYPE_CHECKING:
    from learnd.daemon.stream.inferring.guesses import Guess, Known

verb = typer.Typer()

_FORMATS = ("json", "jsonl", "ndjson", "csv", "tsv", "parquet")

LabelOption = Annotated[str | None, typer.Option("--label", metavar="NAME", help="The field to learn.")]
TaskOption = Annotated[str | None, typer.Option("--task", metavar="TASK", help=f"One of {', '.join(KINDS)}.")]
FormatOption = Annotated[str | None, typer.Option("--format", metavar="FORMAT", help=f"One of {', '.join(_FORMATS)}.")]


@verb.command()
def init(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="JSON, CSV or Parquet: a file, a directory or a quoted glob; or folders of images or texts.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(
        "learnd.yaml"
    ),
    label: LabelOption = None,
    task: TaskOption = None,
    form: FormatOption = None,
    force: Force = False,
) -> None:
    """Write a commented settings file for DATA, from what its records show.

    For a folder of images of each class, a network to begin with is written as well, unless there is one.
    """
    said = known(label, task, form)
    of_folders = {} if label or task or form else _for_folders(data, output)
    texts = of_folders or {output: settings_text(data, said, folder=output.parent)}
    check_output(output, "--output", force=force, kept=[data])
    try:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}; give another --output") from error
    then = f"learnd {'fit' if of_folders else 'run'} {output}"
    print(f"wrote {' and '.join(map(str, texts))}; look through it, then: {then}")


def _for_folders(data: Path, output: Path) -> dict[Path, str]:
    """Return what to write, by file, for folders of images or of texts; nothing if they are none."""
    from learnd.daemon.stream.inferring.folders import for_folders

    try:
        return for_folders(data, resolve(SOURCES["files"].settings)(path=str(data)).in_folders(), output)
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}. Nothing was written.") from error


def known(label: str | None, task: str | None, form: str | None) -> Known:
    """Return what the options say. Raises BadParameter for a task or a format that there is not."""
    from learnd.daemon.stream.inferring.guesses import Known

    for option, given, choices in (("--task", task, KINDS), ("--format", form, _FORMATS)):
        if given is not None and given not in choices:
            raise typer.BadParameter(f"{given!r} is none of {', '.join(choices)}", param_hint=option)
    return Known(label, task, form)


def settings_text(data: Path, said: Known, folder: Path) -> str:
    """Return a commented settings file for the records of `data`, as it is to lie in `folder`. As `guess`."""
    from learnd.daemon.stream.inferring.writing import written

    return written(guess(data, said, folder))


def guess(data: Path, said: Known, folder: Path) -> Guess:
    """Guess the settings for the records of `data`. Raises SourceError, DataError and SettingsError."""
    from learnd.daemon.stream.inferring.infer import guess_of

    source = resolve(SOURCES["files"].settings)(path=str(data))
    return guess_of(data, source.files(), source.samples, said, folder=folder)
