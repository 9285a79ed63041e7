"""Guesses a settings file from the first records of a data file. A comment beside each guess says what was seen."""

from __future__ import annotations

import glob
from pathlib import Path

import structlog

from learnd.daemon.errors import DataError
from learnd.daemon.stream.inferring.guesses import Guess, label_of
from learnd.daemon.stream.inferring.seen import described, fields_of
from learnd.daemon.stream.inferring.sniffing import sniff
from learnd.daemon.stream.inferring.writing import written

log = structlog.get_logger()


def infer_settings(path: Path, rows: int = 200, folder: Path = Path()) -> str:
    """Return a commented settings file for the records of `path`, from its first `rows`.

    `path` is a file, a directory or a glob; of several files the first one is looked at. `folder` is where the settings
    file will be: its paths are relative to that folder. Raises SourceError if the data file cannot be read, and
    DataError if it has no records or none of its fields can be a label.
    """
    sniffed = sniff(_first_file(path), rows)
    if sniffed.broken:
        log.warning(
            "records.unreadable",
            file=str(path),
            unreadable=sniffed.broken,
            readable=len(sniffed.records),
            consequence="a run would reject them; nothing was inferred from them",
        )
    is_csv = sniffed.format == "csv"
    fields = [described(name, values, is_csv=is_csv) for name, values in fields_of(sniffed).items()]
    label = label_of(fields)
    if label is None:
        raise DataError(
            f"{path}: no field of its first {len(sniffed.records)} records can be a label; write the settings yourself"
        )
    return written(Guess(path, folder, sniffed, fields, label))


def _first_file(path: Path) -> Path:
    """Return the first file of a directory or a glob that holds anything; the path itself if there is none."""
    if path.is_dir():
        names = [str(name) for name in path.iterdir() if name.name[0] not in "._"]
    else:
        names = [] if path.exists() else glob.glob(str(path), recursive=True)  # noqa: PTH207 (`**`, cwd)
    files = [Path(name) for name in sorted(names) if Path(name).is_file()]
    return next((file for file in files if file.stat().st_size), path)
