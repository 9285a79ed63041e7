"""From records to samples: arrays that are safe for TensorFlow, and a rejection with a reason for each bad record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, compress
from typing import Any, TypeAlias

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from learnd.daemon.stream.decoding.columns import (
    NAN,
    InputReader,
    canonical,
    cells_as_text,
    finite_as_float32,
    read_by,
)
from learnd.daemon.stream.decoding.declared import absent, missing_columns, missing_fields
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.fields import Field, Path, field_path, merged
from learnd.daemon.stream.decoding.keys import RECORD_KEY, refuse_without_key, with_keys
from learnd.daemon.stream.decoding.learnt import NEW, LearntReader
from learnd.daemon.stream.decoding.lines import with_lines
from learnd.daemon.stream.decoding.parsing import Defects, JsonParser, Parser, Rows
from learnd.daemon.stream.decoding.rounding import RoundingCheck
from learnd.daemon.stream.decoding.tally import FieldTally
from learnd.daemon.stream.decoding.uses import Use, uses_of
from learnd.daemon.stream.decoding.weights import usable
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.stream.stages.windows import Windowed, Windows
from learnd.daemon.values import (
    RAW,
    Arrays,
    Block,
    Defect,
    Fate,
    Float64,
    Int64,
    Past,
    RecordBatch,
    Rejection,
    Samples,
    SampleSpec,
)

log = structlog.get_logger()

_Unread: TypeAlias = Mapping[str, Mapping[int, Defect]]
"""By input, what is wrong with a row."""


class SampleDecoder:
    """Decodes and checks records, one batch at a time. A `contracts.Decoder`.

    What happens to a record depends on that record alone, never on the records around it, unless its classes are
    learnt, or it is one of a window: see `decoding.learnt` and `stages.windows`. With a spec without targets no label
    is read.
    """

    def __init__(
        self,
        settings: SamplesSettings,
        spec: SampleSpec,
        holdout: HoldoutRule | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """`tell` is told of columns whose numbers lose much as 32-bit floats, after a look at the first rows.

        Raises SettingsError if the fields cannot be read together.
        """
        self._settings = settings
        self._spec = spec
        self._holdout = holdout
        self._uses = uses_of(settings, spec)
        self._of_columns = [(use, use.reader) for use in self._uses if not isinstance(use.reader, InputReader)]
        self._of_inputs = [(use, use.reader) for use in self._uses if isinstance(use.reader, InputReader)]
        self.tally = FieldTally(use.name for use in self._uses)
        self._use_of_column = np.repeat(np.arange(len(self._uses)), [use.reader.width for use in self._uses])
        self._rounding = None if tell is None else RoundingCheck(spec.columns, tell)
        self._learnt = next((use for use in self._uses if isinstance(use.reader, LearntReader)), None)
        self._label_is_key = any(use.path == RECORD_KEY for use in self._uses)
        self._weights = settings.weights()
        self._labels = sum(target.columns for target in spec.targets)
        first = spec.width + self._labels
        self._weight_columns = slice(first, first + self._weights.columns)
        self._time_column = None if settings.event_time is None else self._weight_columns.stop
        self._delimiter = settings.delimiter
        self._key = None if settings.key is None else field_path(settings.format, settings.key)
        self._key_name = settings.key or ""
        self._windows = _windows(settings, spec)
        self._keyed_by = "window" if self._windows else "holdout" if holdout is not None and holdout.by_key else None
        self._parser = _parser(settings, self._uses, self._key, key_needed=self._keyed_by is not None)

    def begin(self, past: Past) -> None:
        """Go on behind the records of which this is left."""
        if self._learnt is not None:
            _learnt_reader(self._learnt).begin(past.classes)
        if self._windows is not None:
            self._windows.begin(past.recent)

    def decode(self, batch: RecordBatch) -> Block:
        """Return the samples of a batch, and a rejection for each other record. Never raises on a record."""
        defects: Defects = dict(batch.defects or {})
        if self._label_is_key:
            refuse_without_key(batch, defects)
        rows = self._parser.parse(batch, defects)
        parsed = read = _without(len(batch), defects)
        rows = with_keys(rows, batch, parsed.tolist()) if self._label_is_key else rows
        table = self._table(rows, len(parsed))
        alone, unread = self._alone(rows, table)
        keys = self._keys(rows, batch, parsed)
        finite = finite_as_float32(table)
        keyed = self._keyed(keys)
        weight = self._weights.of(table[:, self._weight_columns])
        weighed = usable(weight)
        new_classes = self._learn_classes(rows, table, finite, keyed & weighed)
        if not (finite.all() and keyed.all() and weighed.all()):
            unweighed, unusable = self._unweighed(weight), self._unusable(rows, finite, unread)
            found = dict(chain(unweighed, self._without_key(rows, keyed), unusable))
            defects |= {int(parsed[row]): what for row, what in found.items()}
            sound = np.logical_and.reduce(finite, axis=1) & keyed & weighed
            table, parsed, weight, alone = table[sound], parsed[sound], weight[sound], _rows_of(alone, sound)
            keys = None if keys is None else list(compress(keys, sound))
        if self._rounding is not None and not self._rounding.add(table):
            self._rounding = None
        self.tally.add_rejected(defects.values())
        fates = self._fates(batch, parsed, keys, defects)
        windowed = self._windowed(batch, keys, table, parsed, fates)
        left = fates[parsed] != Fate.LEAVE_OUT
        samples, times = self._samples(table, weight, alone, windowed), self._times(batch, table, parsed)
        if not left.all():
            samples, times = samples[np.flatnonzero(left)], None if times is None else times[left]
        block = self._block(batch, samples, times, fates, defects)
        if not new_classes and windowed is None:
            return block
        learnt = tuple((int(read[row]), name) for row, name in new_classes)
        return replace(block, new_classes=learnt, keyed=None if windowed is None else windowed.keyed)

    def _windowed(
        self,
        batch: RecordBatch,
        keys: Sequence[str | bytes | None] | None,
        table: Float64,
        parsed: Int64,
        fates: NDArray[np.uint8],
    ) -> Windowed | None:
        """Return the windows of the samples; those without any record are left out."""
        if self._windows is None:
            return None
        rows = table[:, : self._spec.width].astype(np.float32)
        windowed = self._windows.add(keys, rows, parsed, anew=batch.begins_again)
        fates[parsed[~windowed.known]] = Fate.LEAVE_OUT
        return windowed

    def missing_columns(self, columns: Sequence[str]) -> list[str]:
        """Return a settings problem for each needed column that a header lacks; log the others, which have defaults."""
        defaulted = [field.field for field in absent(self._settings, columns) if not field.needed]
        if defaulted:
            log.warning("columns.missing", columns=defaulted, consequence="every record gets their default")
        return missing_columns(self._settings, columns, "the source")

    def missing_fields(self, record: bytes) -> list[str]:
        """Return a settings problem for each needed field that a record lacks; none if that cannot be told."""
        return missing_fields(self._settings, record, "the source")

    def _table(self, rows: Rows, count: int) -> Float64:
        """Return (count, columns): features, label, what the weight needs, the event time if it is declared, and a zero
        for each input of its own.
        """
        table = np.zeros((count, self._uses[-1].columns.stop))
        self.tally.add_records(count)
        for use, reader in self._of_columns:
            values = rows.column(use.path, reader.from_text)
            table[:, use.columns] = read_by(reader, values)
            if reader.default is not None:
                self.tally.add_missing(use.name, values)
        return table

    def _alone(self, rows: Rows, table: Float64) -> tuple[Arrays, _Unread]:
        """Return the inputs of their own, (count, ...) each, and what could not be read: its column is NaN."""
        alone, unread = {}, {}
        for use, reader in self._of_inputs:
            values = rows.column(use.path, reader.from_text)
            alone[use.of], unread[use.of] = reader.read_input(use.name, values)
            if reader.default is not None:
                self.tally.add_missing(use.name, values)
            table[list(unread[use.of]), use.columns] = NAN
        return alone, unread

    def _learn_classes(
        self, rows: Rows, table: Float64, finite: NDArray[np.bool_], fit: NDArray[np.bool_]
    ) -> list[tuple[int, str]]:
        """Give each row with a new class its index, in `table` and `finite`. Return the rows and the names that came.

        A row that cannot be a sample for another reason makes no class: one with a number that is not `finite`, or one
        that does not `fit` for what is no column, its key and its weight.
        """
        if self._learnt is None or not len(table):
            return []
        column, reader = self._learnt.columns.start, _learnt_reader(self._learnt)
        new = np.flatnonzero((table[:, column] == NEW) & np.logical_and.reduce(finite, axis=1) & fit)
        learnt = []
        for row in new.tolist():
            table[row, column], name = reader.learn(rows.value(row, self._learnt.path, reader.from_text))
            if name is not None:
                learnt.append((row, name))
        finite[new, column] = ~np.isnan(table[new, column])
        return learnt

    def _unusable(self, rows: Rows, finite: NDArray[np.bool_], unread: _Unread) -> Iterator[tuple[int, Defect]]:
        """Yield each parsed row that cannot be a sample, with the defect of its first bad field."""
        bad = np.flatnonzero(~np.logical_and.reduce(finite, axis=1))
        first = self._use_of_column[np.argmin(finite[bad], axis=1)]
        for row, number in zip(bad.tolist(), first.tolist(), strict=True):
            yield row, _value_defect(rows, row, self._uses[number], unread)

    def _keys(self, rows: Rows, batch: RecordBatch, parsed: Int64) -> Sequence[str | bytes | None] | None:
        """Return the key of each parsed row: the declared field, or else the record's own key."""
        if self._keyed_by is None:
            return None
        if self._key is not None:
            return list(map(canonical, rows.column(self._key, cells_as_text)))
        return None if batch.keys is None else [batch.keys[index] for index in parsed]

    def _keyed(self, keys: Sequence[str | bytes | None] | None) -> NDArray[np.bool_]:
        """Return whether each parsed row has the key that it needs: (1,) true if none needs one.

        A record's own key may be missing: its position then decides. A declared field may not be missing.
        """
        if self._key is None or keys is None:
            return np.ones(1, np.bool_)
        return np.fromiter((key is not None for key in keys), np.bool_, len(keys))

    def _without_key(self, rows: Rows, keyed: NDArray[np.bool_]) -> Iterator[tuple[int, Defect]]:
        """Yield each parsed row without a key, with the defect: the field is missing, or its value cannot be a key."""
        if self._key is None:
            return
        needed = f"the {self._keyed_by} needs it as the key"
        for row in np.flatnonzero(~keyed).tolist():
            value = rows.value(row, self._key, cells_as_text)
            if value is None and (absence := rows.absence(row, self._key)) is not None:
                yield row, defect(Reason.MISSING, f"{self._key_name}: {absence}, but {needed}")
            elif value is None:
                yield row, defect(Reason.NULL, f"{self._key_name}: null, but {needed}")
            else:
                yield row, defect(Reason.WRONG_TYPE, f"{self._key_name}: {shown(value)} cannot be a key")

    def _unweighed(self, weight: Float64) -> Iterator[tuple[int, Defect]]:
        """Yield each parsed row whose weight is none, with the defect."""
        for row in np.flatnonzero(~usable(weight)).tolist():
            yield row, self._weights.defect(float(weight[row]))

    def _fates(
        self, batch: RecordBatch, samples: Int64, keys: Sequence[str | bytes | None] | None, defects: Defects
    ) -> NDArray[np.uint8]:
        fates = np.full(len(batch), Fate.TRAIN, np.uint8)
        fates[list(defects)] = Fate.REJECT
        if self._holdout is not None:
            known_by = _starts(batch) if batch.places is None else batch.places
            held = self._holdout.held_out(batch.partition, known_by[samples], keys)
            fates[samples[held]] = Fate.LEAVE_OUT if batch.again else Fate.HOLD_OUT
        return fates

    def _samples(self, table: Float64, weight: Float64, alone: Arrays, windowed: Windowed | None) -> Samples:
        width, labels = self._spec.width, self._labels
        if windowed is None:
            inputs = self._spec.split(table[:, :width], alone)
        else:
            inputs = {self._spec.inputs[0].name: windowed.windows}
        targets = self._spec.split_targets(table[:, width : width + labels], inputs)
        return Samples(inputs, targets, weight.astype(np.float32))

    def _times(self, batch: RecordBatch, table: Float64, samples: Int64) -> Float64 | None:
        """Return the event time of each sample: as declared, or else the record's own."""
        if self._time_column is not None:
            return table[:, self._time_column].copy()
        return None if batch.timestamps_s is None else batch.timestamps_s[samples]

    def _block(
        self,
        batch: RecordBatch,
        samples: Samples,
        event_time_s: Float64 | None,
        fates: NDArray[np.uint8],
        defects: Defects,
    ) -> Block:
        return Block(
            partition=batch.partition,
            start=batch.start,
            ends=batch.ends,
            fates=fates,
            samples=samples,
            event_time_s=event_time_s,
            rejections=tuple(
                _rejection(batch, index, with_lines(found, batch, index, self._delimiter))
                for index, found in sorted(defects.items())
            ),
            note=batch.note,
            keys=batch.keys,
            lines=batch.lines,
        )


def _windows(settings: SamplesSettings, spec: SampleSpec) -> Windows | None:
    if settings.window is None or spec.window is None:
        return None
    return Windows(spec.window, settings.window.recent_rows(spec.width))


def _rows_of(arrays: Arrays, rows: NDArray[np.bool_]) -> Arrays:
    return {name: array[rows] for name, array in arrays.items()}


def _learnt_reader(use: Use) -> LearntReader:
    assert isinstance(use.reader, LearntReader), "so it was chosen"
    return use.reader


def _value_defect(rows: Rows, row: int, use: Use, unread: _Unread) -> Defect:
    value = rows.value(row, use.path, use.reader.from_text)
    if value is None and (absence := rows.absence(row, use.path)) is not None:
        return defect(Reason.MISSING, f"{use.name}: {absence}")
    if isinstance(use.reader, InputReader):
        return unread[use.of][row]
    return use.reader.defect(use.name, value)


def _without(count: int, defects: Mapping[int, Defect]) -> Int64:
    """Return the indices of the records that have no defect."""
    if not defects:
        return np.arange(count)
    sound = np.ones(count, np.bool_)
    sound[list(defects)] = False
    return np.flatnonzero(sound)


def _starts(batch: RecordBatch) -> Int64:
    """Return (n,) the position of each record."""
    return np.concatenate((np.array([batch.start], np.int64), batch.ends[:-1]))


def _rejection(batch: RecordBatch, index: int, found: Defect) -> Rejection:
    return Rejection(
        partition=batch.partition,
        start=batch.start if index == 0 else int(batch.ends[index - 1]),
        end=int(batch.ends[index]),
        defect=found,
        value=_payload(batch.values[index])[: batch.kept_bytes],
        key=batch.keys[index] if batch.keys is not None else None,
        headers=batch.headers[index] if batch.headers is not None else (),
        timestamp_s=float(batch.timestamps_s[index]) if batch.timestamps_s is not None else None,
    )


def _payload(value: bytes | Mapping[str, Any]) -> bytes:
    """Return the payload of a dead letter: the bytes as they came, or a columnar row as JSON."""
    if isinstance(value, bytes):
        return value
    try:
        return msgspec.json.encode(value, enc_hook=str)
    except (TypeError, ValueError, RecursionError):
        return msgspec.json.encode({shown(name): shown(part) for name, part in value.items()})


def _parser(settings: SamplesSettings, uses: Sequence[Use], key: Path | None, *, key_needed: bool) -> Parser:
    needed = [
        Field(use.name, use.path, use.reader.json_type, use.reader.default is not None)
        for use in uses
        if use.path != RECORD_KEY
    ]
    if key is not None:
        needed.append(Field(settings.key or "", key, Any, optional=not key_needed))
    fields = merged(needed)
    forbid_extra = settings.extra_fields == "reject"
    if settings.format == "json":
        return JsonParser(fields, forbid_extra=forbid_extra)
    from learnd.daemon.stream.decoding.cells import CsvParser  # Arrow is loaded only where a format needs it
    from learnd.daemon.stream.decoding.mappings import MappingParser
    from learnd.daemon.stream.decoding.messages import AvroDecoder, ExampleDecoder, MessageParser
    from learnd.daemon.stream.decoding.raw import RawParser

    if settings.format == "csv":
        quoted = settings.record_format().quoted
        return CsvParser(fields, settings.texts(), settings.delimiter, forbid_extra=forbid_extra, quoted=quoted)
    mappings = MappingParser(fields, forbid_extra=forbid_extra)
    if settings.format == "avro":
        return MessageParser(AvroDecoder(settings.schema_file), mappings)
    if settings.format == "tf_example":
        return MessageParser(ExampleDecoder(fields), mappings)
    return RawParser(mappings) if settings.format == RAW else mappings
