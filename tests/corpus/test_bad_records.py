"""Bad records, each with the reason that it must be given; the good ones around it always come through.

They are written out here, not kept as files, because half of them are bytes that editors and version control would
repair. Each is `(what, record, reason)`, read under the settings above it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from blocks import features_of, labels_of

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, Fate, RecordBatch

SAMPLES: dict[str, Any] = {
    "features": {
        "amount": "float",
        "count": "integer",
        "premium": "boolean",
        "country": {"hash": 1000},
        "os": {"values": ["mac", "linux"], "unknown": "reject"},
        "v": {"vector": 2},
        "at": {"timestamp": ["hour"]},
        "age": {"type": "float", "field": "user.age", "default": 30},
    },
    "label": "fraud",
    "weight": "w",
    "event_time": {"field": "ts", "unit": "ms"},
    "extra_fields": "reject",
}

GOOD_JSON = (
    b'{"amount": 1.5, "count": 3, "premium": true, "country": "de", "os": "mac", "v": [0.5, -1],'
    b' "at": "2024-02-29T12:00:00Z", "user": {"age": 44}, "fraud": 1, "w": 0.5, "ts": 1700000000000}'
)


def _with(old: bytes, new: bytes) -> bytes:
    assert GOOD_JSON.count(old) == 1, old
    return GOOD_JSON.replace(old, new)


BAD_JSON: list[tuple[str, bytes, Reason]] = [
    ("nothing", b"", Reason.BAD_JSON),
    ("blanks", b" \t ", Reason.BAD_JSON),
    ("cut off", GOOD_JSON[:40], Reason.BAD_JSON),
    ("cut off by one byte", GOOD_JSON[:-1], Reason.BAD_JSON),
    ("two objects", GOOD_JSON + GOOD_JSON, Reason.BAD_JSON),
    ("something behind", GOOD_JSON + b" x", Reason.BAD_JSON),
    ("a NUL behind", GOOD_JSON + b"\x00", Reason.BAD_JSON),
    ("a comma too many", _with(b"1700000000000}", b"1,}"), Reason.BAD_JSON),
    ("single quotes", _with(b'"de"', b"'de'"), Reason.BAD_JSON),
    ("NaN as JavaScript writes it", _with(b"1.5", b"NaN"), Reason.MISSING),
    ("NaN in broken JSON", _with(b"44", b"NaN,"), Reason.BAD_JSON),
    ("a word for no value", _with(b"1.5", b'"NA"'), Reason.MISSING),
    ("Infinity as JavaScript writes it", _with(b"1.5", b"-Infinity"), Reason.BAD_JSON),
    ("a leading zero", _with(b"1.5", b"01.5"), Reason.BAD_JSON),
    ("a hexadecimal number", _with(b"1.5", b"0x1F"), Reason.BAD_JSON),
    ("an underscore in a number", _with(b"1.5", b"1_500"), Reason.BAD_JSON),
    ("a raw newline in a text", _with(b'"de"', b'"d\ne"'), Reason.BAD_JSON),
    ("half a surrogate", _with(b'"de"', b'"\\ud800"'), Reason.BAD_JSON),
    ("an unknown escape", _with(b'"de"', b'"\\q"'), Reason.BAD_JSON),
    ("a byte order mark", b"\xef\xbb\xbf" + GOOD_JSON, Reason.BAD_JSON),
    ("nested a hundred thousand deep", b'{"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.EXTRA),
    ("opened a hundred thousand times", b'{"v":' + b"[" * 100_000, Reason.WRONG_TYPE),
    ("random bytes", bytes(range(128, 160)), Reason.BAD_ENCODING),
    ("Latin-1", _with(b'"de"', b'"\xe9"'), Reason.BAD_ENCODING),
    ("UTF-16", GOOD_JSON.decode().encode("utf-16"), Reason.BAD_ENCODING),
    ("UTF-16 without a mark", GOOD_JSON.decode().encode("utf-16-le"), Reason.BAD_ENCODING),
    ("UTF-16, the other way round", GOOD_JSON.decode().encode("utf-16-be"), Reason.BAD_ENCODING),
    ("an overlong encoding", _with(b'"de"', b'"\xc0\xaf"'), Reason.BAD_ENCODING),
    ("a list", b"[1, 2]", Reason.NOT_AN_OBJECT),
    ("a number", b"1", Reason.NOT_AN_OBJECT),
    ("a text", b'"amount"', Reason.NOT_AN_OBJECT),
    ("null", b"null", Reason.NOT_AN_OBJECT),
    ("an empty object", b"{}", Reason.MISSING),
    ("a feature missing", _with(b'"amount": 1.5, ', b""), Reason.MISSING),
    ("the label missing", _with(b'"fraud": 1, ', b""), Reason.MISSING),
    ("the weight missing", _with(b'"w": 0.5, ', b""), Reason.MISSING),
    ("the event time missing", _with(b', "ts": 1700000000000', b""), Reason.MISSING),
    ("another case of a name", _with(b'"amount"', b'"Amount"'), Reason.EXTRA),
    ("an extra field", _with(b'"amount"', b'"z": 1, "amount"'), Reason.EXTRA),
    ("an extra field within an object", _with(b'"age": 44', b'"age": 44, "z": 1'), Reason.EXTRA),
    ("a null number", _with(b"1.5", b"null"), Reason.NULL),
    ("a null category", _with(b'"de"', b"null"), Reason.NULL),
    ("a null label", _with(b'"fraud": 1', b'"fraud": null'), Reason.NULL),
    ("a null within a vector", _with(b"[0.5, -1]", b"[0.5, null]"), Reason.NULL),
    ("a null vector", _with(b"[0.5, -1]", b"null"), Reason.NULL),
    ("text for a number", _with(b"1.5", b'"1,5"'), Reason.WRONG_TYPE),
    ("true for a number", _with(b"1.5", b"true"), Reason.WRONG_TYPE),
    ("a list for a number", _with(b"1.5", b"[1.5]"), Reason.WRONG_TYPE),
    ("an object for a number", _with(b"1.5", b'{"value": 1.5}'), Reason.WRONG_TYPE),
    ("a fraction for a whole number", _with(b'"count": 3', b'"count": 3.5'), Reason.WRONG_TYPE),
    ("text for a boolean", _with(b"true", b'"perhaps"'), Reason.WRONG_TYPE),
    ("two for a boolean", _with(b"true", b"2"), Reason.WRONG_TYPE),
    ("a list for a category", _with(b'"de"', b'["de"]'), Reason.WRONG_TYPE),
    ("an object for a category", _with(b'"de"', b'{"de": 1}'), Reason.WRONG_TYPE),
    ("a number for an object", _with(b'{"age": 44}', b"44"), Reason.WRONG_TYPE),
    ("text within a vector", _with(b"[0.5, -1]", b'[0.5, "x"]'), Reason.WRONG_TYPE),
    ("a number for a vector", _with(b"[0.5, -1]", b"0.5"), Reason.WRONG_TYPE),
    ("text that is no time", _with(b"2024-02-29T12:00:00Z", b"yesterday"), Reason.WRONG_TYPE),
    ("a day that there is not", _with(b"2024-02-29", b"2023-02-29"), Reason.WRONG_TYPE),
    ("ISO text where milliseconds are declared", _with(b"1700000000000", b'"2024-01-01"'), Reason.WRONG_TYPE),
    ("text for a label", _with(b'"fraud": 1', b'"fraud": "perhaps"'), Reason.UNKNOWN_LABEL),
    ("a vector too short", _with(b"[0.5, -1]", b"[0.5]"), Reason.WRONG_LENGTH),
    ("a vector too long", _with(b"[0.5, -1]", b"[0.5, -1, 2]"), Reason.WRONG_LENGTH),
    ("an empty vector", _with(b"[0.5, -1]", b"[]"), Reason.WRONG_LENGTH),
    ("too large for a double", _with(b"1.5", b"1e999"), Reason.OVERFLOW),
    ("too large for a float", _with(b"1.5", b"1e39"), Reason.OVERFLOW),
    ("just too large for a float", _with(b"1.5", b"-3.4028236e38"), Reason.OVERFLOW),
    ("a whole number of four hundred digits", _with(b'"count": 3', b'"count": ' + b"9" * 400), Reason.OVERFLOW),
    ("too large within a vector", _with(b"[0.5, -1]", b"[0.5, 1e39]"), Reason.OVERFLOW),
    ("too large a default's neighbour", _with(b'"age": 44', b'"age": 1e300'), Reason.OVERFLOW),
    ("a weight too large", _with(b'"w": 0.5', b'"w": 1e39'), Reason.OVERFLOW),
    ("a negative weight", _with(b'"w": 0.5', b'"w": -1'), Reason.OUT_OF_RANGE),
    (
        "a time in microseconds, declared in milliseconds",
        _with(b"1700000000000", b"1700000000000000"),
        Reason.OUT_OF_RANGE,
    ),
    ("a time after the year 9999", _with(b'"2024-02-29T12:00:00Z"', b"1e300"), Reason.OUT_OF_RANGE),
    ("a category that is not listed", _with(b'"mac"', b'"amiga"'), Reason.UNKNOWN_VALUE),
    ("a label that is neither", _with(b'"fraud": 1', b'"fraud": 2'), Reason.UNKNOWN_LABEL),
    ("a label in between", _with(b'"fraud": 1', b'"fraud": 0.5'), Reason.UNKNOWN_LABEL),
]

CSV_SAMPLES: dict[str, Any] = {
    "format": "csv",
    "features": {
        "amount": "float",
        "count": "integer",
        "premium": "boolean",
        "country": {"hash": 1000},
        "v": {"vector": 2},
        "at": {"timestamp": ["weekday"], "unit": "iso"},
    },
    "label": "fraud",
    "weight": "w",
}
CSV_HEADER = ("amount", "count", "premium", "country", "v", "at", "fraud", "w", "unused")
GOOD_CSV = b"1.5,3,yes,de,0.5 -1,2024-02-29,1,0.5,"
BAD_CSV: list[tuple[str, bytes, Reason]] = [
    ("nothing", b"", Reason.WRONG_COLUMN_COUNT),
    ("a cell too few", b"1.5,3,yes,de,0.5 -1,2024-02-29,1,0.5", Reason.WRONG_COLUMN_COUNT),
    ("a cell too many", GOOD_CSV + b",", Reason.WRONG_COLUMN_COUNT),
    ("another delimiter", GOOD_CSV.replace(b",", b";"), Reason.WRONG_COLUMN_COUNT),
    ("two rows in one record", GOOD_CSV + b"\n" + GOOD_CSV, Reason.WRONG_COLUMN_COUNT),
    ("a newline for a delimiter", GOOD_CSV.replace(b"1.5,3", b"1.5\n3"), Reason.WRONG_COLUMN_COUNT),
    ("a quote that is not closed", GOOD_CSV.replace(b"de", b'"de'), Reason.BAD_CSV),
    ("text behind a quote", GOOD_CSV.replace(b"de", b'"d"e'), Reason.BAD_CSV),
    ("two quoted rows in one record", GOOD_CSV.replace(b"de", b'"de"') + b"\n" + GOOD_CSV, Reason.BAD_CSV),
    ("Latin-1", GOOD_CSV.replace(b"de", b"\xe9"), Reason.BAD_ENCODING),
    ("an empty number", GOOD_CSV.replace(b"1.5", b""), Reason.MISSING),
    ("blanks for a number", GOOD_CSV.replace(b"1.5", b"  "), Reason.MISSING),
    ("an empty category", GOOD_CSV.replace(b"de", b""), Reason.MISSING),
    ("an empty vector", GOOD_CSV.replace(b"0.5 -1", b""), Reason.MISSING),
    ("an empty label", GOOD_CSV.replace(b",1,0.5", b",,0.5"), Reason.MISSING),
    ("text for a number", GOOD_CSV.replace(b"1.5", b"a lot"), Reason.WRONG_TYPE),
    ("an underscore in a number", GOOD_CSV.replace(b"1.5", b"1_500"), Reason.WRONG_TYPE),
    ("a comma for a decimal point", GOOD_CSV.replace(b"1.5", b'"1,5"'), Reason.WRONG_TYPE),
    ("a hexadecimal number", GOOD_CSV.replace(b"1.5", b"0x1F"), Reason.WRONG_TYPE),
    ("digits of another script", GOOD_CSV.replace(b"1.5", "١٢".encode()), Reason.WRONG_TYPE),
    ("a fraction for a whole number", GOOD_CSV.replace(b",3,", b",3.5,"), Reason.WRONG_TYPE),
    ("neither true nor false", GOOD_CSV.replace(b"yes", b"maybe"), Reason.WRONG_TYPE),
    ("text within a vector", GOOD_CSV.replace(b"0.5 -1", b"0.5 x"), Reason.WRONG_TYPE),
    ("text that is no time", GOOD_CSV.replace(b"2024-02-29", b"2023-02-29"), Reason.WRONG_TYPE),
    ("NaN", GOOD_CSV.replace(b"1.5", b"nan"), Reason.MISSING),
    ("a word for a missing time", GOOD_CSV.replace(b"2024-02-29", b"-"), Reason.MISSING),
    ("a word for a missing label", GOOD_CSV.replace(b",1,0.5", b",NA,0.5"), Reason.MISSING),
    ("infinity", GOOD_CSV.replace(b"1.5", b"-Infinity"), Reason.NOT_FINITE),
    ("too large for a double", GOOD_CSV.replace(b"1.5", b"1e999"), Reason.NOT_FINITE),
    ("too large for a float", GOOD_CSV.replace(b"1.5", b"1e39"), Reason.OVERFLOW),
    ("a vector too short", GOOD_CSV.replace(b"0.5 -1", b"0.5"), Reason.WRONG_LENGTH),
    ("a negative weight", GOOD_CSV.replace(b",1,0.5", b",1,-0.5"), Reason.OUT_OF_RANGE),
    ("a label that is neither", GOOD_CSV.replace(b",1,0.5", b",2,0.5"), Reason.UNKNOWN_LABEL),
]

GOOD_ROW: dict[str, Any] = {
    "amount": 1.5,
    "count": 3,
    "premium": True,
    "country": "de",
    "os": "mac",
    "v": [0.5, -1],
    "at": "2024-02-29T12:00:00Z",
    "user": {"age": 44},
    "fraud": 1,
    "w": 0.5,
    "ts": 1700000000000,
}
BAD_ROWS: list[tuple[str, Any, Reason]] = [
    ("an empty row", {}, Reason.MISSING),
    ("no mapping", [1], Reason.NOT_AN_OBJECT),
    ("a column too many", {**GOOD_ROW, "z": 1}, Reason.EXTRA),
    ("a null number", {**GOOD_ROW, "amount": None}, Reason.NULL),
    ("a null label", {**GOOD_ROW, "fraud": None}, Reason.NULL),
    ("a NaN", {**GOOD_ROW, "amount": float("nan")}, Reason.NOT_FINITE),
    ("an infinite weight", {**GOOD_ROW, "w": float("inf")}, Reason.NOT_FINITE),
    ("text for a number", {**GOOD_ROW, "amount": "a lot"}, Reason.WRONG_TYPE),
    ("true for a number", {**GOOD_ROW, "amount": True}, Reason.WRONG_TYPE),
    ("bytes for a category", {**GOOD_ROW, "country": b"de"}, Reason.WRONG_TYPE),
    ("a list for a category", {**GOOD_ROW, "country": ["de"]}, Reason.WRONG_TYPE),
    ("a set for a label", {**GOOD_ROW, "fraud": {1}}, Reason.WRONG_TYPE),
    ("a list for a vector's number", {**GOOD_ROW, "v": [0.5, [1]]}, Reason.WRONG_TYPE),
    ("a vector too short", {**GOOD_ROW, "v": [0.5]}, Reason.WRONG_LENGTH),
    ("a NaN within a vector", {**GOOD_ROW, "v": [0.5, float("nan")]}, Reason.NOT_FINITE),
    ("a number too large for a double", {**GOOD_ROW, "count": 10**400}, Reason.OVERFLOW),
    ("a number of ten thousand digits", {**GOOD_ROW, "country": 10**10_000}, Reason.WRONG_TYPE),
]


FORMATS: dict[str, tuple[dict[str, Any], tuple[str, ...] | None, Any, list[tuple[str, Any, Reason]]]] = {
    "json": (SAMPLES, None, GOOD_JSON, BAD_JSON),
    "csv": (CSV_SAMPLES, CSV_HEADER, GOOD_CSV, BAD_CSV),
    "parquet": ({**SAMPLES, "format": "parquet"}, None, GOOD_ROW, BAD_ROWS),
}
CASES = [pytest.param(name, *case[1:], id=f"{name}: {case[0]}") for name, form in FORMATS.items() for case in form[3]]


def decode(form: str, records: list[Any]) -> Block:
    given, header, _, _ = FORMATS[form]
    settings = SamplesSettings.model_validate(given)
    decoder = SampleDecoder(settings, settings.spec("binary"))
    return decoder.decode(RecordBatch("p", 100, np.arange(101, 101 + len(records)), records, header))


@pytest.mark.parametrize("form", FORMATS)
def test_the_good_record_is_one(form: str) -> None:
    block = decode(form, [FORMATS[form][2]])
    assert block.rejections == ()
    assert features_of(block).shape[0] == 1


@pytest.mark.parametrize(("form", "record", "reason"), CASES)
def test_a_bad_record_is_rejected_with_its_reason(form: str, record: Any, reason: Reason) -> None:
    block = decode(form, [record])
    (rejection,) = block.rejections
    assert (rejection.defect.reason, rejection.start, rejection.end) == (reason, 100, 101), rejection.defect.detail
    assert rejection.defect.detail
    assert len(rejection.defect.detail) < 300
    assert isinstance(rejection.value, bytes)
    if isinstance(record, bytes):
        assert rejection.value == record
    assert features_of(block).shape[0] == 0


@pytest.mark.parametrize(("form", "record", "reason"), CASES)
def test_the_good_records_around_a_bad_one_come_through(form: str, record: Any, reason: Reason) -> None:
    good = FORMATS[form][2]
    block = decode(form, [good, record, good, good])
    alone = decode(form, [good])
    assert block.fates.tolist() == [Fate.TRAIN, Fate.REJECT, Fate.TRAIN, Fate.TRAIN]
    assert [rejection.defect.reason for rejection in block.rejections] == [reason]
    for ours, reference in (
        (features_of(block), features_of(alone)),
        (labels_of(block), labels_of(alone)),
        (block.samples.weight, alone.samples.weight),
    ):
        np.testing.assert_array_equal(ours, np.repeat(reference, 3, axis=0))


@pytest.mark.parametrize("form", FORMATS)
def test_all_bad_records_in_one_batch(form: str) -> None:
    _, _, good, bad = FORMATS[form]
    records = [record for _, record, _ in bad for record in (record, good)]
    block = decode(form, records)
    assert [r.defect.reason for r in block.rejections] == [reason for *_, reason in bad]
    assert block.fates.tolist() == [Fate.REJECT, Fate.TRAIN] * len(bad)
    assert np.isfinite(features_of(block)).all()
    assert np.isfinite(labels_of(block)).all()
    assert np.isfinite(block.samples.weight).all()


# Of Avro and tf.train.Example, whose bad records are with the tests of these formats, and of images: see beside.
OF_MESSAGES = {Reason.BAD_AVRO, Reason.BAD_EXAMPLE, Reason.UNKNOWN_SCHEMA, Reason.SCHEMA_MISMATCH}
OF_IMAGES = {Reason.NOT_AN_IMAGE, Reason.BAD_IMAGE, Reason.TOO_MANY_PIXELS}


def test_every_reason_is_in_the_corpus() -> None:
    found = {reason for *_, bad in FORMATS.values() for *_, reason in bad}
    assert found == set(Reason) - OF_MESSAGES - OF_IMAGES
