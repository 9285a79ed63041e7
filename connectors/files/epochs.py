"""The records of files several times over, each time in another order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learnd.connectors.files.lines import BATCH_RECORDS
from learnd.connectors.files.settings import EpochsSettings, FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.errors import SourceError
from learnd.daemon.foundation.hashing import split_mix
from learnd.daemon.values import EPOCHS, Columnar, Defect, Int64, Note, Positions, RecordBatch, RecordFormat


class EpochsSource:
    """A `contracts.Source` over files that are all there: position p is record p mod N of epoch p div N, of N records.

    They are read at `open` and kept in memory. A note says what they are: with others there is no going on.
    """

    live = False
    repeats = True
    connected = True
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(self, settings: EpochsSettings, fmt: RecordFormat, _state: Path | None = None) -> None:
        self._settings = settings
        self._format = fmt
        self._records = _Records.of([])
        self._position = 0
        self._noted = False
        self._ordered: tuple[int, Int64] | None = None  # an epoch, and the order of its records

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self._records = _read(self._settings, self._format)
        self._position = positions.get(EPOCHS, 0)
        noted = next((note[EPOCHS] for note in notes if EPOCHS in note), None)
        self._noted = noted is not None
        if noted is not None and noted != self._identity:
            raise SourceError(
                f"{self._settings.path}: it holds {len(self._records):,} records now that are not the "
                f"{noted['records']:,} that the model was trained on so far, so its epochs cannot go on. Nothing was "
                "changed. Put them back, or begin afresh in another state directory (--state)."
            )

    def read(self, timeout_s: float) -> RecordBatch | None:  # noqa: ARG002 (all records are there)
        return None if self.exhausted else self._next(self._total)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        if partition != EPOCHS or end > self._total:
            raise SourceError(
                f"{partition}: the journal needs its records from {start} to {end}, which epochs of "
                f"{self._settings.path} do not have. Start afresh in another state directory."
            )
        self._position = start
        while self._position < end:
            yield self._next(end)

    @property
    def exhausted(self) -> bool:
        return self._position >= self._total

    def lag(self) -> Mapping[str, int]:
        return {EPOCHS: max(self._total - self._position, 0)}

    def held(self) -> Mapping[str, tuple[int, int]]:
        return {}

    def commit(self, saved: Positions, needed: Positions) -> None:
        """Do nothing: the files belong to whoever wrote them."""

    def close(self) -> None:
        """Do nothing: no file is open."""

    @property
    def _total(self) -> int:
        return self._settings.epochs * len(self._records)

    @property
    def _identity(self) -> Note:
        return {"records": len(self._records), "digest": self._records.digest}

    def _next(self, end: int) -> RecordBatch:
        """Return the next records of an epoch, before position `end`, and go behind them."""
        start = self._position
        epoch, first = divmod(start, len(self._records))
        places = self._order(epoch)[first : first + min(BATCH_RECORDS, end - start)]
        self._position = start + len(places)
        note = None if self._noted else {EPOCHS: self._identity}
        self._noted = True
        return self._records.picked(places, start, note)

    def _order(self, epoch: int) -> Int64:
        """Return the places of all records in the order of an epoch: by a hash, which no version of NumPy changes."""
        if self._ordered is None or self._ordered[0] != epoch:
            places = np.arange(len(self._records))
            if self._settings.shuffle:
                begin = split_mix(split_mix(np.array([self._settings.seed], np.uint64)) ^ np.uint64(epoch))
                places = np.argsort(split_mix(begin + places.astype(np.uint64)), kind="stable")
            self._ordered = epoch, places
        return self._ordered[1]


@dataclass(frozen=True, slots=True)
class _Records:
    """All records, in their order, and what they are known by."""

    values: Sequence[Any]  # bytes or mappings
    columns: tuple[str, ...] | None
    defects: Mapping[int, Defect]
    digest: str

    @classmethod
    def of(cls, batches: Sequence[RecordBatch]) -> _Records:
        firsts = np.cumsum([0, *map(len, batches)])
        defects = {
            first + index: defect
            for first, batch in zip(firsts.tolist(), batches, strict=False)
            for index, defect in (batch.defects or {}).items()
        }
        columns = batches[0].columns if batches else None
        columnar = [batch.values for batch in batches if isinstance(batch.values, Columnar)]
        if batches and len(columnar) == len(batches):
            joined = Columnar.joined(columnar)
            return cls(joined, columns, defects, joined.digest())
        values = [value for batch in batches for value in batch.values]
        sha = hashlib.sha256()
        for value in values:
            content = value if isinstance(value, bytes) else repr(value).encode()
            sha.update(b"%d:" % len(content))
            sha.update(content)
        return cls(values, columns, defects, sha.hexdigest())

    def __len__(self) -> int:
        return len(self.values)

    def picked(self, places: Int64, start: int, note: Note | None) -> RecordBatch:
        """Return the records at some places as a batch that begins at position `start`."""
        listed = places.tolist()
        picked = self.values.picked(places) if isinstance(self.values, Columnar) else [self.values[at] for at in listed]
        defects = {index: self.defects[at] for index, at in enumerate(listed) if at in self.defects}
        ends = np.arange(start + 1, start + len(places) + 1)
        return RecordBatch(EPOCHS, start, ends, picked, self.columns, defects=defects or None, places=places, note=note)


def _read(settings: EpochsSettings, fmt: RecordFormat) -> _Records:
    """Return all records of the files. Raises SourceError if they cannot be read, or have not the same columns."""
    files = FilesSource(FilesSettings(path=settings.path, max_record_bytes=settings.max_record_bytes), fmt)
    batches: list[RecordBatch] = []
    try:
        files.open({}, [])
        while not files.exhausted:
            if (batch := files.read(1.0)) is not None:
                batches.append(batch)
    finally:
        files.close()
    if len(different := {batch.columns for batch in batches if not batch.defects}) > 1:
        one, other, *_ = different
        raise SourceError(
            f"{settings.path}: its files have not the same columns ({', '.join(one or ())}, and "
            f"{', '.join(other or ())}), so their records cannot be given in another order. Fit on files that have."
        )
    return _Records.of(batches)
