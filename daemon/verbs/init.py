"""`learnd init`: a settings file for a file of records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learnd.daemon.errors import SettingsError, StoreError

verb = typer.Typer()


@verb.command()
def init(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A file of records: JSON lines, CSV or Parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")] = Path(
        "learnd.yaml"
    ),
    force: Annotated[bool, typer.Option("--force", metavar="", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented settings file for DATA, from what its first records show."""
    from learnd.daemon.stream.inferring.infer import infer_settings

    text = infer_settings(data, folder=output.parent)
    if output.exists() and not force:
        raise SettingsError([f"{output} exists; give another --output, or --force to overwrite it"])
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{output} cannot be written: {error.strerror}; give another --output") from error
    print(f"wrote {output}; look through it, then: learnd run {output}")
