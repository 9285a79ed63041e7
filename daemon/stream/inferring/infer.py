"""Guesses a settings file from the records of a data file. A comment beside each guess says what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog

from learnd.daemon.errors import DataError
from learnd.daemon.stream.inferring.guesses import Guess, Known, label_of, may_be_classes, task_of
from learnd.daemon.stream.inferring.numerals import numerals_of
from learnd.daemon.stream.inferring.seen import described, fields_of
from learnd.daemon.stream.inferring.sniffing import Take, reasons, sniff
from learnd.daemon.stream.inferring.writing import written

log = structlog.get_logger()


def infer_settings(path: Path, files: Sequence[Path], take: Take, known: Known, folder: Path) -> str:
    """Return a commented settings file for the records of `path`. As `guess_of`."""
    return written(guess_of(path, files, take, known, folder))


def guess_of(path: Path, files: Sequence[Path], take: Take, known: Known, folder: Path) -> Guess:
    """Guess the settings for the records of `path`, of whose `files` `take` returns samples.

    `path` is a file, a directory or a glob. `folder` is where the settings file will be: its paths are relative to that
    folder. Raises SourceError if the data file cannot be read, and DataError if it has no records or none of its fields
    can be a label.
    """
    sniffed = sniff(files, take, known.format)
    if sniffed.broken:
        log.warning(
            "records.unreadable",
            file=str(path),
            unreadable=len(sniffed.broken),
            readable=len(sniffed.records),
            reasons=reasons(sniffed.broken),
            consequence="a run would reject them; nothing was inferred from them",
        )
    columns = fields_of(sniffed)
    numerals = numerals_of(columns, sniffed.delimiter)
    fields = [described(name, values, numerals) for name, values in columns.items()]
    label, why = label_of(fields, known.label)
    if label is None:
        count = len(sniffed.records)
        these = "the only record" if count == 1 else f"these {count:,} records"
        raise DataError(f"{path}: no field of {these} seems to be the label; name it: --label NAME")
    if may_be_classes(label, known.task):
        exact = described(label.name, columns[label.name], numerals, exact=True)
        fields = [exact if field is label else field for field in fields]
        label = exact
    task, label_settings = task_of(label, known.task, whole=sniffed.whole)
    return Guess(path, folder, sniffed, numerals, fields, label, why, task, label_settings)
