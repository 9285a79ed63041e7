"""What `predict` and `encode` have in common: records from a file or standard input, rows to a file or the output."""

from __future__ import annotations

import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import numpy as np
import typer

from learnd.daemon.config.settings import Settings
from learnd.daemon.contracts import Decoder, Source
from learnd.daemon.errors import DataError, SettingsError, SourceError, StoreError
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import LogSettings
from learnd.daemon.stream.encoding import input_decoder, missing_inputs
from learnd.daemon.values import Arrays, Block, Fate, Int64
from learnd.daemon.verbs.options import check_output
from learnd.daemon.verbs.replay import source_of


class RowFormat(StrEnum):
    """How rows are written."""

    JSON = "json"
    CSV = "csv"


Place = Annotated[
    Path, typer.Argument(metavar="SETTINGS|STATE", help="The settings file (YAML), or the state directory.")
]
Records = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Records, in the format of the stream. Default: standard input.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write. Default: standard output.")
]
Format = Annotated[
    RowFormat | None,
    typer.Option("--format", help="JSON lines or CSV. Default: CSV if --output ends in .csv, else JSON lines."),
]

Row = tuple[Any, Sequence[Any]]
"""The value of a line of JSON, None for no line, and the cells of a line of CSV."""

Write = Callable[[Iterable[Row]], None]


def inputs_of(settings: Settings, file: Path | None) -> Iterator[tuple[Int64, Sequence[str | None], Arrays]]:
    """Yield the records of a file or of standard input, some at a time: their numbers, from 1 on, their keys, and their
    inputs.

    They need no label. Otherwise as `blocks_of`.
    """
    decoder, lacking = input_decoder(settings.samples, settings.model.task), partial(missing_inputs, settings.samples)
    for first, block in blocks_of(settings, file, decoder, lacking):
        if len(block.samples):
            rows = np.flatnonzero(block.sampled)
            keys = [None if block.keys is None else _text(block.keys[row]) for row in rows.tolist()]
            yield first + rows, keys, block.samples.inputs


def blocks_of(
    settings: Settings, file: Path | None, decoder: Decoder, lacking: Callable[[Sequence[str], str], Sequence[str]]
) -> Iterator[tuple[int, Block]]:
    """Yield the records of a file or of standard input, some at a time, decoded: the number of the first, from 1 on.

    `lacking` says what the columns of the records lack. What cannot be decoded is told on standard error. Raises
    SourceError if the records cannot be read, and DataError if they lack a column, or at the end if one of them could
    not be decoded.
    """
    count = rejected = 0
    with _opened(settings, file) as source:
        while not source.exhausted:
            if (batch := source.read(1.0)) is None:
                continue
            if batch.columns is not None and (problems := lacking(batch.columns, _name(file))):
                raise DataError("\n".join(problems))
            block = decoder.decode(batch)
            _tell_rejections(block, count)
            yield count + 1, block
            count, rejected = count + len(block), rejected + len(block.rejections)
            end = {block.partition: int(block.ends[-1])}
            source.commit(end, end)
    if rejected:
        raise DataError(f"{rejected:,} of {count:,} records could not be decoded; the lines above say which, and why")


@contextmanager
def rows_to(
    output: Path | None, form: RowFormat | None, *, force: bool, kept: Iterable[Path | None]
) -> Iterator[Write]:
    """Write rows to a file, which `check_output` lets pass, or to standard output; they are there at once.

    Raises StoreError if that is not possible. If nobody reads the output any more, as with `| head`, the command ends.
    """
    as_csv = form is RowFormat.CSV or (form is None and output is not None and output.suffix.lower() == ".csv")
    if output is not None:
        check_output(output, "--output", force=force, kept=[path for path in kept if path is not None])
    with ExitStack() as files:
        with _written(output):
            file = sys.stdout.buffer if output is None else files.enter_context(_created(output))

        def write(rows: Iterable[Row]) -> None:
            lines = [_csv_line(cells) if as_csv else _json_line(value) for value, cells in rows]
            with _written(output):
                file.write(b"".join(lines))
                file.flush()

        yield write


@contextmanager
def _written(output: Path | None) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more is flushed into the pipe
        raise typer.Exit from error
    except OSError as error:
        raise StoreError(f"{output or 'standard output'} cannot be written: {error.strerror or error}") from error


def _created(output: Path) -> IO[bytes]:
    output.parent.mkdir(parents=True, exist_ok=True)
    return output.open("wb")


def _json_line(value: Any) -> bytes:
    return b"" if value is None else msgspec.json.encode(value) + b"\n"


def _csv_line(cells: Sequence[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()


@contextmanager
def _opened(settings: Settings, file: Path | None) -> Iterator[Source]:
    from learnd.daemon.compose import build_source

    configure_logging(LogSettings(level="warning"))  # a source tells of itself what matters to a run alone
    if file is not None and not file.exists():
        raise SourceError(f"{file}: there is no such file; correct its name, or leave it out to read standard input")
    choice = source_of(settings, file)
    fmt = settings.samples.record_format()
    if fmt.name not in choice.settings.formats:
        problem = f"samples.format: records of {fmt.name} cannot be read from {_name(file)}"
        raise SettingsError([f"{problem}; give a file, or a recording of the topic, as `learnd record` writes it"])
    with _spool(file) as folder, closing(build_source(settings, choice, Path(folder))) as source:
        source.open({}, [])
        yield source


def _spool(file: Path | None) -> AbstractContextManager[str]:
    """Return where standard input is spooled; a file needs no such place."""
    try:
        return nullcontext(".") if file is not None else tempfile.TemporaryDirectory(prefix="learnd-")
    except OSError as error:
        raise StoreError(f"standard input cannot be spooled to {tempfile.gettempdir()}: {error.strerror}") from error


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="replace")


def _name(file: Path | None) -> str:
    return "standard input" if file is None else str(file)


def _tell_rejections(block: Block, before: int) -> None:
    """Say of each record that cannot be decoded which one it is, where it is, and why."""
    numbers = before + 1 + np.flatnonzero(block.fates == Fate.REJECT)
    for number, rejection in zip(numbers.tolist(), block.rejections, strict=True):
        defect = rejection.defect
        key = "" if rejection.key is None else f", key {_text(rejection.key)}"
        print(
            f"learnd: record {number} ({rejection.partition}, position {rejection.start}{key}): {defect.detail} "
            f"({defect.reason})",
            file=sys.stderr,
        )
