"""The key of a record, where a field is expected: a text, read as a cell of CSV is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from learnd.daemon.stream.decoding.columns import FromText, Values, only
from learnd.daemon.stream.decoding.defects import Reason, defect
from learnd.daemon.stream.decoding.fields import Path
from learnd.daemon.stream.decoding.parsing import Defects, Rows
from learnd.daemon.values import Defect, RecordBatch

RECORD_KEY: Path = ()
"""The path that stands for the record's own key: no field has it."""

NAME_OF_KEY = "the record's key"


class RowsWithKeys:
    """Rows with the key of each record beside its fields."""

    def __init__(self, rows: Rows, keys: Sequence[str]) -> None:
        self._rows = rows
        self._keys = keys

    def column(self, path: Path, from_text: FromText) -> Values:
        return from_text(self._keys) if path == RECORD_KEY else self._rows.column(path, from_text)

    def value(self, row: int, path: Path, from_text: FromText) -> Any:
        return only(from_text([self._keys[row]])) if path == RECORD_KEY else self._rows.value(row, path, from_text)

    def absence(self, row: int, path: Path) -> str | None:
        return "it stands for no value" if path == RECORD_KEY else self._rows.absence(row, path)


def refuse_without_key(batch: RecordBatch, defects: Defects) -> None:
    """Add a defect for each record that has no key, or one that is no text."""
    keys = [None] * len(batch) if batch.keys is None else batch.keys
    for index, key in enumerate(keys):
        if index not in defects and (found := _defect(key)) is not None:
            defects[index] = found


def with_keys(rows: Rows, batch: RecordBatch, parsed: Iterable[int]) -> RowsWithKeys:
    """Return the rows of the records of these numbers, none of which has `refuse_without_key` refused."""
    return RowsWithKeys(rows, [] if batch.keys is None else [(batch.keys[index] or b"").decode() for index in parsed])


def _defect(key: bytes | None) -> Defect | None:
    if not key:
        return defect(Reason.MISSING, f"{NAME_OF_KEY}: missing, but the label is read from it")
    try:
        key.decode()
    except UnicodeDecodeError as error:
        return defect(Reason.BAD_ENCODING, f"{NAME_OF_KEY}: not UTF-8 at byte {error.start}")
    return None
