"""From records to rows whose fields can be read as columns, and how JSON is. A broken record gives a defect, not a row.

See `cells` for CSV, `mappings` for columnar files, `messages` for Avro and `tf.train.Example`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import msgspec
import numpy as np

from learnd.daemon.errors import not_utf8
from learnd.daemon.stream.decoding.columns import BOOLEAN, FromText, Values
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.fields import Field, Path, RowType
from learnd.daemon.values import Defect, Float64, RecordBatch

Defects = dict[int, Defect]


class Rows(Protocol):
    """The records of a batch that could be parsed."""

    def column(self, path: Path, from_text: FromText) -> Values:
        """Return the values of a field, None if it is null or missing, or NaN if all others are numbers.

        CSV cells are converted by `from_text`.
        """

    def value(self, row: int, path: Path, from_text: FromText) -> Any:
        """Return the value of one row, which may be None where its column has NaN."""

    def absence(self, row: int, path: Path) -> str | None:
        """Say why a field whose value is None counts as missing; None if it is there and null."""


class Parser(Protocol):
    """Cuts the records of one format into fields."""

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        """Parse the records without a defect, and add new defects to `defects`. Never raises on a record."""


class JsonRows:
    """Rows as structs."""

    def __init__(self, structs: Sequence[msgspec.Struct], row_type: RowType, numbers: Mapping[Path, Float64]) -> None:
        self._structs = structs
        self._row_type = row_type
        self._numbers = numbers

    def column(self, path: Path, from_text: FromText) -> Values:  # noqa: ARG002  (JSON has types)
        if path in self._numbers:
            return self._numbers[path]
        try:
            return list(map(self._row_type.getter([path]), self._structs))
        except AttributeError:  # an object on the way is null
            return list(map(self._row_type.careful_getter(path), self._structs))

    def value(self, row: int, path: Path, from_text: FromText) -> Any:  # noqa: ARG002
        return self._row_type.careful_getter(path)(self._structs[row])

    def absence(self, row: int, path: Path) -> str | None:  # noqa: ARG002
        return None  # parsing has rejected records with a missing field


class JsonParser:
    """Parses one JSON object per record, directly into the fields that are read, and checks their types.

    Most batches hold each field in its usual type, and are decoded at once. In all others, text may stand for numbers
    and booleans: it is for their readers to tell.
    """

    def __init__(self, fields: Mapping[Path, Field], *, forbid_extra: bool) -> None:
        self._usual = RowType.of(fields.values(), forbid_extra=forbid_extra)
        self._lenient = RowType.of(map(_or_text, fields.values()), forbid_extra=forbid_extra)
        self._decode_usual = msgspec.json.Decoder(self._usual.struct).decode
        self._decode_lenient = msgspec.json.Decoder(self._lenient.struct).decode
        numeric = [path for path, f in fields.items() if f.json_type in (float, BOOLEAN) and not f.optional]
        self._together = numeric if len(numeric) > 1 else []

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        values: Sequence[Any] = batch.values
        if values[0][:1] == _FRAME:
            values = list(map(without_frame, values))
        if not defects:
            try:
                structs = list(map(self._decode_usual, values))
            except (ValueError, RecursionError):
                pass  # the loop below finds out which, and why
            else:
                return JsonRows(structs, self._usual, self._numbers(structs))
        return JsonRows(list(self._one_by_one(values, defects)), self._lenient, {})

    def _numbers(self, structs: Sequence[msgspec.Struct]) -> dict[Path, Float64]:
        """Return the columns of numbers and booleans. Reading them together is faster than one by one."""
        if not self._together:
            return {}
        values = chain.from_iterable(map(self._usual.tuple_getter(self._together), structs))
        shape = len(structs), len(self._together)
        table = np.fromiter(values, np.float64, shape[0] * shape[1]).reshape(shape)
        return dict(zip(self._together, table.T, strict=True))

    def _one_by_one(self, values: Sequence[bytes], defects: Defects) -> Iterator[msgspec.Struct]:
        for index, value in enumerate(map(without_frame, values)):
            if index not in defects:
                try:
                    yield self._decode_lenient(value)
                except (ValueError, RecursionError) as error:
                    found = self._with_nulls_for_nans(value, error)
                    if isinstance(found, Defect):
                        defects[index] = found
                    else:
                        yield found

    def _with_nulls_for_nans(self, value: bytes, error: Exception) -> msgspec.Struct | Defect:
        """Decode a record in which NaN stands for no value, as Python and JavaScript write it, though JSON has none."""
        if b"NaN" not in value or isinstance(error, msgspec.ValidationError):
            return _json_defect(value, error)
        try:
            return self._decode_lenient(_nulls_for_nans(value))
        except msgspec.ValidationError as in_nan:
            found = _json_defect(value, in_nan)
            missing = defect(Reason.MISSING, f"{found.detail} for a NaN")
            return missing if found.reason == Reason.NULL else found
        except (ValueError, RecursionError):
            return _json_defect(value, error)


_FRAME = b"\0"
_FRAME_BYTES = 5  # that zero, and the number of the schema in the registry


def without_frame(value: bytes) -> bytes:
    """Return an object without what Confluent's serializer for JSON Schema puts before it.

    See https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/ (wire format). JSON
    itself never begins with a zero byte.
    """
    framed = value[:1] == _FRAME and value[_FRAME_BYTES : _FRAME_BYTES + 1] == b"{"
    return value[_FRAME_BYTES:] if framed else value


_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*+"|\bNaN\b')


def _nulls_for_nans(value: bytes) -> bytes:
    return _TEXT_OR_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], value)


def _or_text(field: Field) -> Field:
    return replace(field, json_type=field.json_type | str) if field.json_type in (float, BOOLEAN) else field


def json_object(value: bytes) -> Mapping[str, Any] | Defect:
    """Return all fields of a record, whatever their types."""
    value = without_frame(value)
    try:
        return _JSON_OBJECT.decode(_nulls_for_nans(value) if b"NaN" in value else value)
    except (ValueError, RecursionError) as error:
        return _json_defect(value, error)


_JSON_OBJECT = msgspec.json.Decoder(dict[str, Any])


# What msgspec says if a value has a wrong type, and our reason for it. The first match counts.
_VALIDATION_REASONS = (
    ("missing required field", Reason.MISSING),
    ("unknown field", Reason.EXTRA),
    ("got `null`", Reason.NULL),
    ("out of range", Reason.OVERFLOW),
    ("of length", Reason.WRONG_LENGTH),
)


def _json_defect(value: bytes, error: Exception) -> Defect:
    text = str(error)
    if isinstance(error, msgspec.ValidationError):
        if text.startswith("Expected `object`, got") and " - at " not in text:
            return defect(Reason.NOT_AN_OBJECT, text)
        reason = next((reason for words, reason in _VALIDATION_REASONS if words in text), Reason.WRONG_TYPE)
        return defect(reason, text)
    if isinstance(error, RecursionError):
        return defect(Reason.BAD_JSON, "nested too deep")
    if b"\0" in value[:2]:  # an ASCII character in UTF-16
        return defect(Reason.BAD_ENCODING, str(not_utf8(value)))
    return encoding_defect(value) or defect(Reason.BAD_JSON, text)


def encoding_defect(value: bytes) -> Defect | None:
    """Return what is wrong with bytes that are not UTF-8; None if they are."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return defect(Reason.BAD_ENCODING, f"not UTF-8 at byte {error.start}: {shown(value[error.start : error.end])}")
    return None
