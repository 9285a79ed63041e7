"""Text as people write it: words for no value, numbers of other countries, dates, yes and no."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from blocks import features_of, labels_of
from pydantic import ValidationError

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, RecordBatch

WORDS = ["NA", "null", "None", "#N/A", "-", "NaN", "nan", "", "  "]


def decode(form: str, records: list[Any], features: dict[str, Any], task: str = "binary", **changes: Any) -> Block:
    settings = SamplesSettings.model_validate({"format": form, "features": features, "label": "y", **changes})
    ends = np.arange(1, len(records) + 1)
    batch = RecordBatch("p", 0, ends, records, ("f", "y") if form == "csv" else None)
    return SampleDecoder(settings, settings.spec(task)).decode(batch)


def one(form: str, feature: Any, text: str, **changes: Any) -> list[float] | str:
    """Return the columns that a text becomes among other records, or the reason why it becomes none."""
    if form == "csv":
        record: Any = f'"{text}",1'.encode()
    else:
        record = {"f": text, "y": 1} if form == "parquet" else json.dumps({"f": text, "y": 1}).encode()
    block = decode(form, [record], {"f": feature}, **changes)
    return block.rejections[0].defect.reason if block.rejections else features_of(block)[0].tolist()


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_default_stands_in_for_words_that_mean_missing(form: str, word: str) -> None:
    assert one(form, {"type": "float", "default": 7}, word) == [7]
    assert one(form, {"type": "integer", "default": 7}, word) == [7]
    assert one(form, {"type": "boolean", "default": 1}, word) == [1]
    for feature in ("float", "integer", "boolean", {"timestamp": ["hour"]}):
        assert one(form, feature, word) == "missing"


def test_a_category_is_missing_by_a_word_only_in_csv_with_a_default_and_if_it_is_not_listed() -> None:
    with_default = {"hash": 1000, "default": "somewhere"}
    somewhere = one("csv", {"hash": 1000}, "somewhere")
    namibia = one("csv", {"hash": 1000}, "NA")
    assert namibia != somewhere
    assert one("csv", with_default, "NA") == one("csv", with_default, "") == somewhere
    assert one("json", with_default, "NA") == one("parquet", with_default, "NA") == namibia
    listed = {"values": ["a", "None", "b"], "default": "b"}
    assert [one("csv", listed, word) for word in ("None", "NA", "", "c")] == [[2], [3], [3], [0]]
    assert one("csv", {"values": ["a"], "unknown": "reject"}, "NA") == "missing"
    assert one("csv", {"hash": 1000, "default": "-"}, "NA") == one("csv", {"hash": 1000}, "-")


def test_other_words_may_mean_missing() -> None:
    assert one("csv", {"type": "float", "default": 7}, "?", missing=["?"]) == [7]
    assert one("csv", {"type": "float", "default": 7}, "NA", missing=["?"]) == "wrong_type"
    assert one("csv", "float", "nan", missing=[]) == "not_finite"


FIELDS = {"a": "float", "country": {"hash": 100, "field": "geo.country", "default": ""}}


@pytest.mark.parametrize("record", [{"a": 1, "geo": None}, {"a": 1}, {"a": 1, "geo": {"country": None}}])
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_default_stands_in_for_an_object_that_is_null(form: str, record: dict[str, Any]) -> None:
    whole = {"a": 1, "geo": {"country": ""}}
    records: list[Any] = [{**r, "y": 0} for r in (whole, record, whole)]
    block = decode(form, records if form == "parquet" else [json.dumps(r).encode() for r in records], FIELDS)
    assert not block.rejections
    assert (features_of(block) == features_of(block)[0]).all()


def test_an_object_that_is_null_deep_inside() -> None:
    fields = {"a.b.c": 5, "a.d": 6}
    deep = {name: {"type": "float", "default": default} for name, default in fields.items()}
    records = [{"y": 1, "a": {"b": None, "d": 1}}, {"y": 1, "a": None}, {"y": 1, "a": {"b": {"c": 2}}}]
    block = decode("json", [json.dumps(record).encode() for record in records], deep)
    assert features_of(block).tolist() == [[5, 1], [5, 6], [2, 6]]
    assert not decode("json", [b'{"y": 1, "a": {"b": {"c": 2}, "d": null}}'], deep).rejections


def test_a_default_stands_in_for_nan_in_json() -> None:
    features = {"f": {"type": "float", "default": 7}, "c": {"hash": 100, "default": ""}, "geo.x": "float"}
    nan = json.dumps({"f": math.nan, "c": 'a "NaN" \\', "geo": {"x": 1}, "y": 1, "unread": [math.nan]}).encode()
    null = json.dumps({"f": None, "c": 'a "NaN" \\', "geo": {"x": 1}, "y": 1}).encode()
    block = decode("json", [nan, null, null], features)
    assert not block.rejections
    assert (features_of(block) == features_of(block)[0]).all()
    (rejected,) = decode("json", [b'{"f": 1, "geo": {"x": NaN}, "y": 1}'], features).rejections
    assert (rejected.defect.reason, "NaN" in rejected.defect.detail) == ("missing", True)


@pytest.mark.parametrize(
    ("text", "settings", "number"),
    [
        ("12.5", {}, 12.5),
        (" -1e3 ", {}, -1000),
        ("12,5", {"decimal": ","}, 12.5),
        ("-,5", {"decimal": ","}, -0.5),
        ("12", {"decimal": ","}, 12),
        ("1.234,5", {"decimal": ",", "thousands": "."}, 1234.5),
        ("1.234.567", {"decimal": ",", "thousands": "."}, 1234567),
        ("1234567,25", {"decimal": ",", "thousands": "."}, 1234567.25),
        ("1,234.5", {"thousands": ","}, 1234.5),
        ("1'234.5", {"thousands": "'"}, 1234.5),
        ("1 234,5", {"thousands": " ", "decimal": ","}, 1234.5),
        ("1\u202f234,5", {"thousands": " ", "decimal": ","}, 1234.5),
        ("12 %", {"units": ["%"]}, 12),
        ("12.5%", {"units": ["%"]}, 12.5),
        ("\u20ac 1.234,50", {"units": ["\u20ac"], "decimal": ",", "thousands": "."}, 1234.5),
        ("1.5e3km/h", {"units": ["km", "km/h"]}, 1500),
        ("7", {"units": ["km"]}, 7),
    ],
)
@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_numbers_as_people_write_them(form: str, text: str, settings: dict[str, Any], number: float) -> None:
    assert one(form, "float", text, **settings) == [np.float32(number)]
    block = decode(form, [_row(form, text)], {"y": "float"}, task="regression", label="f", **settings)
    assert labels_of(block).tolist() == [[np.float32(number)]]


def _row(form: str, text: str) -> Any:
    row = {"f": text, "y": 1}
    return f'"{text}",1'.encode() if form == "csv" else row if form == "parquet" else json.dumps(row).encode()


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("1,5", {}),
        ("1.5", {"decimal": ","}),
        ("1.5", {"decimal": ",", "thousands": "."}),
        ("12.34.567", {"decimal": ",", "thousands": "."}),
        ("1,23", {"thousands": ","}),
        ("12 kg", {"units": ["km"]}),
        ("12 %", {}),
        ("%", {"units": ["%"]}),
        (",", {"decimal": ","}),
        ("1_5", {"decimal": ","}),
        ("\u0661", {"decimal": ","}),
    ],
)
def test_what_may_be_another_number_is_rejected(text: str, settings: dict[str, Any]) -> None:
    for form in ("csv", "json", "parquet"):
        assert one(form, "float", text, **settings) == "wrong_type"


def test_a_weight_may_be_text_too() -> None:
    record = b'{"f": "1,5", "y": "no", "w": "0,5"}'
    block = decode("json", [record], {"f": "float"}, weight="w", decimal=",")
    assert (block.samples.weight.tolist(), labels_of(block).tolist()) == ([0.5], [[0]])
    (rejected,) = decode("json", [record.replace(b"0,5", b"-0,5")], {"f": "float"}, weight="w", decimal=",").rejections
    assert rejected.defect.reason == "out_of_range"


YES = ["yes", "Yes", "YES", "y", "Y", "true", "True", "TRUE", "t", "T", "on", "On", "1", " yes "]
NO = ["no", "No", "NO", "n", "N", "false", "False", "FALSE", "f", "F", "off", "Off", "0", " no "]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_yes_and_no_in_every_usual_spelling(form: str) -> None:
    assert [one(form, "boolean", word) for word in YES] == [[1]] * len(YES)
    assert [one(form, "boolean", word) for word in NO] == [[0]] * len(NO)
    words = [_row(form, word) for word in (*YES, *NO, "perhaps")]
    block = decode(form, words, {"y": "float"}, label="f")
    assert labels_of(block)[:, 0].tolist() == [1] * len(YES) + [0] * len(NO)
    assert [rejection.defect.reason for rejection in block.rejections] == ["unknown_label"]


def test_the_positive_value_can_be_named() -> None:
    rows = [b"1,ja", b"2,nein", b"3,vielleicht", b"4,NA", b"5,"]
    block = decode("csv", rows, {"f": "float"}, label={"field": "y", "positive": "ja"})
    assert labels_of(block).tolist() == [[1], [0], [0]]
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing", "missing"]
    for positive, label in ((2, b'{"f": 1, "y": 2}'), (True, b'{"f": 1, "y": "yes"}')):
        assert labels_of(decode("json", [label], {"f": "float"}, label={"field": "y", "positive": positive})).all()
    with pytest.raises(SettingsError, match="values says it too"):
        decode("csv", rows, {"f": "float"}, label={"field": "y", "positive": "ja", "values": ["nein", "ja"]})


NOON = 1709208000  # on 29 February 2024, a Thursday


@pytest.mark.parametrize(
    ("date_format", "text", "seconds"),
    [
        ("%d.%m.%Y", "29.02.2024", NOON - 43200),
        ("%d.%m.%Y %H:%M", "29.02.2024 12:00", NOON),
        ("%Y/%m/%d", "2024/02/29", NOON - 43200),
        ("%Y-%m", "1949-01", -662688000),
        ("%m/%d/%Y %I:%M %p", "02/29/2024 12:00 PM", NOON),
        ("%d.%m.%Y %H:%M %z", "29.02.2024 13:00 +0100", NOON),
    ],
)
@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_dates_in_other_forms_than_iso(form: str, date_format: str, text: str, seconds: float) -> None:
    feature = {"timestamp": ["hour", "day_of_year"], "date_format": date_format}
    time = {"field": "f", "date_format": date_format}
    block = decode(form, [_row(form, text), _row(form, text + "?")], {"f": feature}, event_time=time)
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [seconds]
    assert (block.rejections[0].defect.reason, date_format in block.rejections[0].defect.detail) == ("wrong_type", True)
    by_number = decode("json", [json.dumps({"f": seconds, "y": 1}).encode()], {"f": {**feature, "date_format": None}})
    np.testing.assert_array_equal(features_of(block), features_of(by_number))


def test_a_date_of_digits() -> None:
    feature = {"timestamp": ["day_of_year"], "date_format": "%Y%m%d"}
    assert one("csv", feature, "20240229") == one("json", feature, "20240229")
    assert decode("json", [b'{"f": 20240229, "y": 1}'], {"f": feature}).samples.weight.tolist() == [1]


def test_seconds_and_milliseconds_may_be_text() -> None:
    for unit, text in (("s", str(NOON)), ("ms", f"{NOON}000"), ("auto", str(NOON))):
        for form in ("csv", "json", "parquet"):
            assert one(form, {"timestamp": ["hour"], "unit": unit}, text) == pytest.approx([0, -1], abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decimal": ",", "thousands": ","}, "give another decimal"),
        ({"decimal": ";"}, "decimal"),
        ({"units": ["5"]}, "units"),
        ({"features": {"f": {"timestamp": ["hour"], "date_format": "dd.mm.yyyy"}}}, "no format of strptime"),
        ({"features": {"f": {"timestamp": ["hour"], "date_format": "%d.%m.%Y", "unit": "s"}}}, "either it or unit"),
        ({"event_time": {"field": "f", "date_format": "%d", "unit": "s"}}, "either it or unit"),
        ({"features": {"f": {"type": "float", "date_format": "%d.%m.%Y"}}}, "only with timestamp"),
    ],
)
def test_settings_that_cannot_be_meant(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SamplesSettings.model_validate({"features": {"f": "float"}, "label": "y", **changes})
