"""Reads a sample of files of any format, for `learnd init`: with the parsers that a run uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from learnd.daemon.errors import DataError, SourceError, not_utf8
from learnd.daemon.stream.decoding.cells import RowCutter
from learnd.daemon.stream.decoding.columns import cells_as_text
from learnd.daemon.stream.decoding.parsing import Defects, json_object
from learnd.daemon.stream.settings import OTHER_NAMES
from learnd.daemon.values import Defect, RecordFormat, RecordSample

Part: TypeAlias = tuple[Sequence[Mapping[str, Any]], Sequence[Defect]]  # of the records: the sound and the broken ones
Read: TypeAlias = Callable[[RecordSample], Part]
Take: TypeAlias = Callable[[RecordFormat], Sequence[RecordSample]]

_DELIMITERS = ",;\t|"
_NAMES_OF_CSV = (".csv", ".tsv", ".tab", ".txt")
_SHOWN = {"json": "JSON lines", "csv": "CSV", "parquet": "Parquet"}
_NAMES_OF_PARQUET = (".parquet", ".pq")
# What else people have, by the first bytes, and the way out.
_OTHER_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or another archive; save the sheet as CSV, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
    (b"SQLite format 3", "a database of SQLite; export a table as CSV"),
    (b"\xff\xd8\xff", "a JPEG; for images, name the directory in which each class has a folder of them"),
    (b"\x89PNG", "a PNG; for images, name the directory in which each class has a folder of them"),
)


@dataclass(frozen=True, slots=True)
class Sniffed:
    """Records of files as mappings; the values of CSV are text."""

    format: str  # json, csv or parquet
    delimiter: str
    records: Sequence[Mapping[str, Any]]
    whole: bool  # whether these are all records of all files
    spread: bool  # whether they are from all parts of the files that were looked at
    broken: Sequence[Defect]  # of records in the heads of the files
    looked_at: int  # files
    files: int  # that there are


def sniff(files: Sequence[Path], take: Take, form: str | None = None) -> Sniffed:
    """Read records of files, in the format `form` or the one that the first of them seems to have.

    `take` returns samples of them, that of the first one first. Raises SourceError if one cannot be read, DataError if
    there are no records.
    """
    path = files[0]
    try:
        found = _sniffed(files, take, form)
    except SourceError as error:
        raise SourceError(f"{str(error).removesuffix('.')}. Nothing was written.") from error
    if not found.records:
        why = "there are no records yet"
        if found.broken:
            why = f"none of its first records could be read as {found.format}: {reasons(found.broken)}"
        way = "name a file with records" if form is None else _way_without(files, take, found.format)
        raise DataError(f"{path}: {why}, so nothing was written; {way}")
    return found


def _way_without(files: Sequence[Path], take: Take, form: str) -> str:
    """Return the way out if a format was given in which there are no records."""
    way = "leave --format out to have it guessed, or give another"
    try:
        seems = _sniffed(files, take, None)
    except (SourceError, DataError):
        return way
    return f"this looks like {_SHOWN[seems.format]}: {way}" if seems.records and seems.format != form else way


def reasons(broken: Sequence[Defect]) -> str:
    """Return how many records are broken for each reason, with an example."""
    counts = Counter(defect.reason for defect in broken)
    examples = {defect.reason: defect.detail for defect in reversed(broken)}
    return ", ".join(f"{count} {reason} ({examples[reason]})" for reason, count in counts.most_common())


def _sniffed(files: Sequence[Path], take: Take, given: str | None) -> Sniffed:
    path = files[0]
    form, delimiter = _known(given)
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if form == "parquet" or (form is None and name.endswith(_NAMES_OF_PARQUET)):
        return _together("parquet", ",", take(RecordFormat("parquet")), len(files), _mappings)
    lines = take(RecordFormat("json"))
    first = _first_line(path, lines[0])
    if form == "json" or (form is None and first.lstrip().startswith("{") and not name.endswith(_NAMES_OF_CSV)):
        return _together("json", ",", lines, len(files), _objects)
    delimiter = delimiter or max(_DELIMITERS, key=first.count)
    rows = take(RecordFormat("csv", delimiter))
    if twice := [name for name, count in Counter(rows[0].columns or ()).items() if count > 1]:
        raise DataError(
            f"{path}: {len(twice)} names are those of several columns, such as {twice[0]!r}, and only one of "
            "them could be used. Nothing was written. Give each column a name of its own"
        )
    return _together("csv", delimiter, rows, len(files), lambda sample: _table(sample, delimiter))


def _known(given: str | None) -> tuple[str | None, str | None]:
    """Return the format and the delimiter that a name of a format stands for, None if it says nothing of it."""
    meant = OTHER_NAMES.get(given, {"format": given}) if given is not None else {}
    return meant.get("format"), meant.get("delimiter")


def _together(form: str, delimiter: str, samples: Sequence[RecordSample], files: int, read: Read) -> Sniffed:
    """Return the records of all samples, in the order of the files."""
    parts = [read(sample) for sample in samples]
    whole = len(samples) == files and all(sample.whole for sample in samples)
    spread = all(sample.whole or sample.spread for sample in samples)
    records = list(chain.from_iterable(records for records, _ in parts))
    broken = list(chain.from_iterable(broken for _, broken in parts))
    return Sniffed(form, delimiter, records, whole, spread, broken, len(samples), files)


def _first_line(path: Path, lines: RecordSample) -> str:
    """Raises DataError if there is none, or if it is not text."""
    first: Any = next(iter(lines.head), b"")
    if (broken := lines.defects.get(0)) is not None and broken.reason in {"corrupt", "truncated"}:
        raise SourceError(f"{path} cannot be read: {broken.detail}; name a readable file")
    for magic, what in _OTHER_KINDS:
        if first.startswith(magic):
            raise DataError(f"{path}: it is {what}. Nothing was written.")
    if not first.strip():
        raise DataError(f"{path}: the file is empty, so there is nothing to infer settings from; name one with records")
    if why := not_utf8(first):
        raise DataError(f"{path}: its first line is {why}. Nothing was written.")
    text: str = first.decode("utf-8-sig")
    return text


def _objects(sample: RecordSample) -> Part:
    head = [sample.defects.get(index) or json_object(line) for index, line in enumerate(_bytes(sample.head))]
    spread = [found for line in _bytes(sample.spread) if not isinstance(found := json_object(line), Defect)]
    sound = [record for record in head if not isinstance(record, Defect)]
    return [*sound, *spread], [defect for defect in head if isinstance(defect, Defect)]


def _table(sample: RecordSample, delimiter: str) -> Part:
    defects: Defects = dict(sample.defects)
    records = _rows(_bytes(sample.head), sample, delimiter, defects)
    spread = _rows(_bytes(sample.spread), sample, delimiter, {})
    return [*records, *spread], [defects[index] for index in sorted(defects)]


def _rows(values: Sequence[bytes], sample: RecordSample, delimiter: str, defects: Defects) -> list[Mapping[str, Any]]:
    if not values or not sample.columns:
        return []
    cutter = RowCutter(delimiter)
    records: list[Mapping[str, Any]] = []
    for index, value in enumerate(values):
        if index not in defects:
            row = cutter.cut(value, len(sample.columns))
            if isinstance(row, Defect):
                defects[index] = row
            else:
                records.append(dict(zip(sample.columns, cells_as_text(row), strict=True)))
    return records


def _mappings(sample: RecordSample) -> Part:
    records: list[Any] = [record for index, record in enumerate(sample.head) if index not in sample.defects]
    return [*records, *sample.spread], [sample.defects[index] for index in sorted(sample.defects)]


def _bytes(values: Sequence[Any]) -> Sequence[bytes]:
    return values
