"""The records of files several times over, each time in another order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learnd.connectors.files.discovery import matching
from learnd.connectors.files.folders import BATCH_FILES
from learnd.connectors.files.lines import BATCH_RECORDS
from learnd.connectors.files.opening import files_source
from learnd.connectors.files.settings import EpochsSettings, FilesSettings
from learnd.connectors.files.splitters import KEPT_BYTES
from learnd.daemon.errors import SourceError
from learnd.daemon.foundation.hashing import split_mix
from learnd.daemon.values import EPOCHS, Columnar, Defect, Int64, Note, Positions, RecordBatch, RecordFormat

_MOST_BYTES = 1 << 26  # of the values of a batch, as far as they are known


class EpochsSource:
    """A `contracts.Source` over files that are all there: position p is record p mod N of epoch p div N, of N records.

    They are read at `open` and kept in memory. A note says what they are, and in which order they come: with others
    there is no going on, and with another order none within an epoch.
    """

    live = False
    repeats = True
    connected = True
    lag_unit: Literal["records", "bytes"] = "records"

    def __init__(self, settings: EpochsSettings, fmt: RecordFormat, _state: Path | None = None) -> None:
        self._settings = settings
        self._format = fmt
        self._records = _Records([], None, None, {}, "")
        self._position = 0
        self._noted = False
        self._ordered: tuple[int, Int64] | None = None  # an epoch, and the order of its records

    def open(self, positions: Positions, notes: Sequence[Note]) -> None:
        self._records = _read(self._settings, self._format)
        self._position = positions.get(EPOCHS, 0)
        noted = next((note[EPOCHS] for note in reversed(notes) if EPOCHS in note), None)
        self._noted = noted == self._identity
        if noted is not None and not self._noted:
            self._check(noted)

    def _check(self, noted: Note) -> None:
        """Raise SourceError if these are not the records that were noted, or if an epoch of them has another order."""
        where = self._settings.path
        if any(noted[key] != self._identity[key] for key in ("records", "digest")):
            raise SourceError(
                f"{where}: its files are not those that the model was trained on so far ({noted['records']:,} "
                "records), so their epochs cannot go on. Nothing was changed. Put them back, or begin afresh in "
                "another state directory (--state)."
            )
        if self._position % len(self._records):
            shuffled = "shuffled" if noted["shuffle"] else "not shuffled"
            raise SourceError(
                f"{where}: an epoch is under way in another order ({shuffled}, seed {noted['seed']}), in which some "
                "records are still to come. Nothing was changed. Go on with that order to its end first, or begin "
                "afresh in another state directory (--state)."
            )

    def read(self, timeout_s: float) -> RecordBatch | None:  # noqa: ARG002 (all records are there)
        return None if self.exhausted else self._next(self._total)

    def read_range(self, partition: str, start: int, end: int) -> Iterator[RecordBatch]:
        if partition != EPOCHS or end > self._total:
            count = len(self._records)
            enough = f"Give at least {-(-end // count)} epochs, as before, or start" if count else "Start"
            raise SourceError(
                f"{partition}: the journal needs its records from {start} to {end}, and {self._settings.epochs} epochs "
                f"of {self._settings.path} have {self._total}. Nothing was changed. {enough} afresh in another state "
                "directory (--state)."
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
        about = {"records": len(self._records), "digest": self._records.digest}
        return {**about, "shuffle": self._settings.shuffle, "seed": self._settings.seed}

    def _next(self, end: int) -> RecordBatch:
        """Return the next records of an epoch, before position `end`, and go behind them."""
        start = self._position
        epoch, first = divmod(start, len(self._records))
        places = self._records.few(self._order(epoch)[first : first + min(BATCH_RECORDS, end - start)])
        self._position = start + len(places)
        note = None if self._noted else {EPOCHS: self._identity}
        self._noted = True
        return self._records.picked(places, start, note, again=epoch > 0)

    def _order(self, epoch: int) -> Int64:
        """Return the places of all records in the order of an epoch: by a hash, which no version of NumPy changes."""
        if self._ordered is None or self._ordered[0] != epoch:
            places = np.arange(len(self._records))
            if self._settings.shuffle:
                seed = np.array([self._settings.seed % 2**64], np.uint64)
                begin = split_mix(split_mix(seed) ^ np.uint64(epoch))
                places = np.argsort(split_mix(begin + places.astype(np.uint64)), kind="stable")
            self._ordered = epoch, places
        return self._ordered[1]


@dataclass(frozen=True, slots=True)
class _Records:
    """All records, in their order, and what they are known by."""

    values: Sequence[Any]  # bytes or mappings; or the parts, if all are columnar, of one schema
    columns: tuple[str, ...] | None
    keys: Sequence[bytes | None] | None
    defects: Mapping[int, Defect]
    digest: str

    def __len__(self) -> int:
        return sum(map(len, self.values)) if self._columnar else len(self.values)

    @property
    def _columnar(self) -> bool:
        return bool(self.values) and isinstance(self.values[0], Columnar)

    def few(self, places: Int64) -> Int64:
        """Return the first of some places, whose values are not too much for one batch, at least one."""
        places = places if self.keys is None else places[:BATCH_FILES]
        if self._columnar or not isinstance(self.values[places[0]], bytes):
            return places
        sizes = np.cumsum([len(self.values[place]) for place in places.tolist()])
        return places[: max(1, int(np.searchsorted(sizes, _MOST_BYTES)))]

    def picked(self, places: Int64, start: int, note: Note | None, *, again: bool) -> RecordBatch:
        """Return the records at some places as a batch that begins at position `start`."""
        listed = places.tolist()
        return RecordBatch(
            EPOCHS,
            start,
            np.arange(start + 1, start + len(places) + 1),
            Columnar.picked(self.values, places) if self._columnar else [self.values[place] for place in listed],
            self.columns,
            keys=None if self.keys is None else [self.keys[place] for place in listed],
            defects={row: self.defects[place] for row, place in enumerate(listed) if place in self.defects} or None,
            places=places,
            again=again,
            note=note,
            kept_bytes=None if self.keys is None else KEPT_BYTES,
        )


def _read(settings: EpochsSettings, fmt: RecordFormat) -> _Records:
    """Return all records of the files. Raises SourceError if they cannot be read, or have not the same columns."""
    files = files_source(FilesSettings(path=settings.path, max_record_bytes=settings.max_record_bytes), fmt)
    batches: list[RecordBatch] = []
    try:
        files.open({}, [])
        while not files.exhausted:
            if (batch := files.read(1.0)) is not None:
                batches.append(batch)
    finally:
        files.close()
    values, keys = _values(batches), _keys(batches)
    digest = _digest(settings.path) if keys is None else _digest_of(keys, values)
    return _Records(values, _columns(batches, settings.path), keys, _defects(batches), digest)


def _values(batches: Sequence[RecordBatch]) -> Sequence[Any]:
    parts = [batch.values for batch in batches if isinstance(batch.values, Columnar)]
    if len(parts) == len(batches) and all(part.batch.schema.equals(parts[0].batch.schema) for part in parts):
        return parts
    return [value for batch in batches for value in batch.values]


def _columns(batches: Sequence[RecordBatch], path: str) -> tuple[str, ...] | None:
    """Return the columns of all batches that have sound records. Raises SourceError if they differ."""
    found = dict.fromkeys(batch.columns for batch in batches if len(batch) > len(batch.defects or {}))
    if len(found) > 1:
        one, other, *_ = found
        raise SourceError(
            f"{path}: its files have not the same columns ({', '.join(one or ())}, and {', '.join(other or ())}), so "
            "their records cannot be given in another order. Fit on files that have."
        )
    return next(iter(found), None)


def _keys(batches: Sequence[RecordBatch]) -> Sequence[bytes | None] | None:
    """Return the keys of all records; None if they are not whole files, which alone have keys."""
    return [key for batch in batches for key in batch.keys or ()] or None


def _defects(batches: Sequence[RecordBatch]) -> dict[int, Defect]:
    firsts = np.cumsum([0, *map(len, batches)]).tolist()
    found = {}
    for first, batch in zip(firsts, batches, strict=False):
        found.update({first + index: defect for index, defect in (batch.defects or {}).items()})
    return found


def _digest(path: str) -> str:
    """Return a SHA-256 over what the files hold."""
    sha = hashlib.sha256()
    for name in matching(path):
        with Path(name).open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


def _digest_of(keys: Sequence[bytes | None], contents: Sequence[bytes]) -> str:
    """Return a SHA-256 over the names of whole files, and over what they hold."""
    sha = hashlib.sha256()
    for each in chain.from_iterable(zip(keys, contents, strict=True)):
        sha.update(hashlib.sha256(each or b"").digest())
    return sha.hexdigest()
