from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from blocks import features_of, labels_of

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, Defect, Fate, RecordBatch


def decode(
    records: list[Any],
    features: dict[str, Any] | None = None,
    *,
    task: str = "binary",
    holdout: HoldoutRule | None = None,
    batch: dict[str, Any] | None = None,
    **changes: Any,
) -> Block:
    given = {"features": features or {"a": "float"}, "label": "y", **changes}
    settings = SamplesSettings.model_validate(given)
    if settings.format == "json":
        records = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    ends = np.arange(11, 11 + len(records))
    return SampleDecoder(settings, settings.spec(task), holdout).decode(
        RecordBatch("p", 10, ends, records, **batch or {})
    )


def one(feature: Any, value: Any, **changes: Any) -> list[float] | str:
    """Return the columns that a value becomes, or the reason why it becomes none."""
    record = {"y": 1} if value is ... else {"f": value, "y": 1}
    block = decode([record], {"f": feature}, **changes)
    return block.rejections[0].defect.reason if block.rejections else features_of(block)[0].tolist()


def csv(feature: Any, cell: str) -> list[float] | str:
    block = decode([f"{cell},1".encode()], {"f": feature}, format="csv", batch={"columns": ("f", "y")})
    return block.rejections[0].defect.reason if block.rejections else features_of(block)[0].tolist()


def test_numbers_become_float32() -> None:
    block = decode(
        [{"a": 0.1, "b": 2, "y": True}, {"b": -0.5, "a": 16777217, "y": 0, "z": {}}], {"a": "float", "b": "float"}
    )
    np.testing.assert_array_equal(features_of(block), np.array([[0.1, 2], [16777216, -0.5]], np.float32))
    assert labels_of(block).tolist() == [[1], [0]]
    assert block.samples.weight.tolist() == [1, 1]
    assert block.event_time_s is None
    assert (block.partition, block.start, block.ends.tolist()) == ("p", 10, [11, 12])


@pytest.mark.parametrize(("value", "expected"), [(3, [3]), (3.0, [3]), (-(2**40), [-(2**40)]), (3.5, "wrong_type")])
def test_whole_numbers(value: float, expected: Any) -> None:
    assert one("integer", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, [1]), (False, [0]), (1, [1]), (0.0, [0]), (2, "wrong_type"), ("perhaps", "wrong_type")],
)
def test_booleans(value: Any, expected: Any) -> None:
    assert one("boolean", value) == expected


@pytest.mark.parametrize(
    ("cell", "expected"), [("yes", [1]), ("FALSE", [0]), ("T", [1]), ("0", [0]), ("1.0", [1]), ("2", "wrong_type")]
)
def test_booleans_in_csv(cell: str, expected: Any) -> None:
    assert csv("boolean", cell) == expected


def test_hashed_categories_are_the_same_for_ever() -> None:
    values = ["de", "fr", "", "日本", 5, True]
    assert [one({"hash": 1000}, value) for value in values] == [[120], [570], [756], [160], [267], [710]]


@pytest.mark.parametrize("first", [1, 1.0, True])
def test_equal_numbers_share_an_index_whichever_came_first(first: Any) -> None:
    block = decode([{"f": value, "y": 1} for value in (first, True, 1.0, 1, "1")], {"f": {"hash": 1000}})
    assert len(set(features_of(block)[:, 0].tolist())) == 1


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ({"values": ["mac", "linux"]}, [[1], [2], [0]]),
        ({"values": ["mac", "linux"], "unknown": "reject"}, [[0], [1], "unknown_value"]),
    ],
)
def test_listed_categories(feature: dict[str, Any], expected: list[Any]) -> None:
    assert [one(feature, value) for value in ("mac", "linux", "beos")] == expected


def test_listed_numbers_and_booleans() -> None:
    feature = {"values": [10, 20.5, True]}
    assert [one(feature, value) for value in (10, 10.0, "10", 20.5, True, 7)] == [[1], [1], [1], [2], [3], [0]]
    assert [csv(feature, cell) for cell in ("10", "10.0", "20.50", "true", "x")] == [[1], [1], [2], [3], [0]]


def test_vectors() -> None:
    assert one({"vector": 3}, [1, 2.5, -3]) == [1, 2.5, -3]
    assert csv({"vector": 2}, "1 2.5") == [1, 2.5]
    assert csv({"vector": 2}, '"[1, 2.5]"') == [1, 2.5]


@pytest.mark.parametrize(
    ("feature", "default"),
    [
        ({"type": "float", "default": 7}, [7]),
        ({"type": "integer", "default": 7}, [7]),
        ({"type": "boolean", "default": True}, [1]),
        ({"values": ["a", "b"], "default": "b"}, [2]),
        ({"vector": 2, "default": [1, 2]}, [1, 2]),
    ],
)
def test_a_default_stands_in_for_missing_null_and_empty(feature: dict[str, Any], default: list[float]) -> None:
    assert one(feature, ...) == default
    assert one(feature, None) == default
    assert csv(feature, "") == default
    assert one(feature, None, format="parquet") == default


def test_a_default_stands_in_for_nan_but_not_for_what_is_wrong() -> None:
    feature = {"type": "float", "default": 7}
    assert csv(feature, "nan") == [7]
    assert one(feature, math.nan, format="parquet") == [7]
    assert one(feature, math.inf, format="parquet") == "not_finite"
    assert one(feature, "x") == "wrong_type"


def test_a_hashed_default() -> None:
    assert one({"hash": 1000, "default": "de"}, None) == one({"hash": 1000}, "de")


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("auto", 1709208000),
        ("auto", "2024-02-29T12:00:00Z"),
        ("auto", "2024-02-29 13:00:00+01:00"),
        ("auto", "2024-02-29T12:00:00"),
        ("s", 1709208000.0),
        ("ms", 1709208000_000),
        ("us", 1709208000_000_000),
        ("ns", 1709208000_000_000_000),
        ("iso", "20240229T120000Z"),
    ],
)
def test_one_moment_in_many_forms(unit: str, value: Any) -> None:
    feature = {"timestamp": ["hour", "weekday", "month"], "unit": unit}
    thursday_noon = 2 * math.pi * 3.5 / 7
    february = 2 * math.pi / 12
    turns = [math.pi, thursday_noon, february]
    expected = [f(turn) for turn in turns for f in (math.sin, math.cos)]
    assert one(feature, value) == pytest.approx(expected, abs=1e-6)
    assert csv(feature, str(value)) == pytest.approx(expected, abs=1e-6)


def test_days_of_the_month_and_year_follow_the_calendar() -> None:
    feature = {"timestamp": ["day_of_month", "day_of_year", "minute"]}
    middle_of_february = one(feature, "2024-02-15T12:00:00Z")
    assert middle_of_february[:2] == pytest.approx([0, -1], abs=1e-6)
    first_of_january = one(feature, "2023-01-01T00:30:00Z")
    turn = 2 * math.pi / (365 * 48)
    assert first_of_january[2:] == pytest.approx([math.sin(turn), math.cos(turn), 0, -1], abs=1e-6)


def test_times_before_1970() -> None:
    assert one({"timestamp": ["hour"]}, "1969-12-31T18:00:00Z") == pytest.approx([-1, 0], abs=1e-6)


@pytest.mark.parametrize(("unit", "value"), [("s", "2024-01-01"), ("iso", 1709208000), ("auto", True)])
def test_a_time_of_another_type(unit: str, value: Any) -> None:
    assert one({"timestamp": ["hour"], "unit": unit}, value) == "wrong_type"


def test_parquet_holds_python_values() -> None:
    moment = datetime(2024, 2, 29, 6, tzinfo=UTC)
    assert one({"timestamp": ["hour"]}, moment, format="parquet") == pytest.approx([1, 0], abs=1e-6)
    assert one("float", Decimal("1.5"), format="parquet") == [1.5]


def test_fields_of_nested_objects() -> None:
    features = {"age": {"type": "float", "field": "user.age"}, "user.city.code": "float", r"a\.b": "float"}
    record = {"user": {"age": 3, "city": {"code": 4}}, "a.b": 5, "y": 1}
    assert features_of(decode([record], features)).tolist() == [[3, 4, 5]]
    assert features_of(decode([record], features, format="parquet")).tolist() == [[3, 4, 5]]
    broken = [{**record, "user": {"age": 3}}, {**record, "user": None}]
    for form in ("json", "parquet"):
        assert {r.defect.reason for r in decode(broken, features, format=form).rejections} <= {"missing", "null"}


def test_a_nested_object_of_defaults_may_be_missing() -> None:
    features = {"a": "float", "age": {"type": "float", "field": "user.age", "default": 9}}
    for form in ("json", "parquet"):
        assert features_of(decode([{"a": 1, "y": 0}], features, format=form)).tolist() == [[1, 9]]


def test_a_dot_in_a_csv_header_is_a_dot() -> None:
    block = decode([b"5.1,1"], {"sepal.length": "float"}, format="csv", batch={"columns": ("sepal.length", "y")})
    assert features_of(block).tolist() == [[np.float32(5.1)]]


def test_one_field_for_several_uses() -> None:
    features = {"ts": "float", "h": {"timestamp": ["hour"], "field": "ts"}, "c": {"hash": 10, "field": "ts"}}
    block = decode([{"ts": 3600, "y": 1}, {"ts": "x", "y": 1}], features, event_time="ts", key="ts")
    assert features_of(block)[0, 0] == 3600
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [3600]
    assert [r.defect.reason for r in block.rejections] == ["wrong_type"]


@pytest.mark.parametrize(
    ("task", "label", "values", "expected"),
    [
        ("binary", "y", [True, 0, 1.0], [[1], [0], [1]]),
        ("binary", {"field": "y", "values": ["up", "down"]}, ["down", "up"], [[1], [0]]),
        ("binary", {"field": "y", "values": [1, 2]}, [1, 2, 2.0], [[0], [1], [1]]),
        ("classes", {"field": "y", "classes": 3}, [0, 2, 1.0], [[0], [2], [1]]),
        ("classes", {"field": "y", "classes": ["a", "b", "c"]}, ["c", "a"], [[2], [0]]),
        ("regression", "y", [1.5, -3], [[1.5], [-3]]),
        ("regression", {"field": "y", "size": 2}, [[1, 2.5]], [[1, 2.5]]),
        (
            "multi_label",
            {"field": "y", "labels": ["p", "q", "r"]},
            [["r", "p"], [], [0, 1, True]],
            [[1, 0, 1], [0, 0, 0], [0, 1, 1]],
        ),
    ],
)
def test_labels(task: str, label: Any, values: list[Any], expected: list[list[float]]) -> None:
    records = [{"a": 1, "y": value} for value in values]
    for form in ("json", "parquet"):
        assert labels_of(decode(records, task=task, label=label, format=form)).tolist() == expected


@pytest.mark.parametrize(
    ("task", "label", "value", "reason"),
    [
        ("binary", {"field": "y", "values": ["up", "down"]}, "left", "unknown_label"),
        ("classes", {"field": "y", "classes": 3}, 3, "unknown_label"),
        ("classes", {"field": "y", "classes": 3}, 0.5, "unknown_label"),
        ("classes", {"field": "y", "classes": ["a", "b"]}, "A", "unknown_label"),
        ("regression", "y", "high", "wrong_type"),
        ("regression", "y", 1e39, "overflow"),
        ("regression", {"field": "y", "size": 2}, [1.0], "wrong_length"),
        ("multi_label", {"field": "y", "labels": ["p", "q"]}, ["z"], "unknown_label"),
        ("multi_label", {"field": "y", "labels": ["p", "q"]}, [1, 0, 1], "wrong_length"),
        ("multi_label", {"field": "y", "labels": ["p", "q"]}, "p", "wrong_type"),
        ("multi_label", {"field": "y", "labels": ["p", "q"]}, None, "null"),
        ("multi_label", {"labels": ["y", "q"]}, 1, "missing"),
    ],
)
def test_labels_that_are_none(task: str, label: Any, value: Any, reason: str) -> None:
    for form in ("json", "parquet"):
        (rejection,) = decode([{"a": 1, "y": value}], task=task, label=label, format=form).rejections
        assert rejection.defect.reason == reason


def test_several_labels_in_fields_of_their_own() -> None:
    block = decode([{"a": 1, "p": 1, "q": False}], task="multi_label", label={"labels": ["p", "q"]})
    assert labels_of(block).tolist() == [[1, 0]]


def test_several_labels_in_a_csv_cell() -> None:
    label = {"field": "y", "labels": ["p", "q"]}
    records = [b"1,p|q", b"1,", b"1,0;1", b"1,z"]
    block = decode(records, task="multi_label", label=label, format="csv", batch={"columns": ("a", "y")})
    assert labels_of(block).tolist() == [[1, 1], [0, 0], [0, 1]]
    assert [r.defect.reason for r in block.rejections] == ["unknown_label"]


def test_weight_and_event_time() -> None:
    records = [{"a": 1, "y": 1, "w": 0, "t": 1700000000.25}, {"a": 1, "y": 1, "w": 2.5, "t": "2024-01-01"}]
    block = decode(records, weight="w", event_time="t")
    assert block.samples.weight.tolist() == [0, 2.5]
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [1700000000.25, 1704067200]


def test_the_time_of_the_record_stands_in_for_the_event() -> None:
    stamps = np.array([5.0, 6.0, 7.0])
    block = decode([{"a": 1, "y": 1}, b"bad", {"a": 1, "y": 1}], batch={"timestamps_s": stamps})
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [5, 7]
    assert block.rejections[0].timestamp_s == 6


def test_what_the_source_found_broken_is_not_decoded() -> None:
    defects = {1: Defect("oversized", "over the limit")}
    records = [{"a": 1, "y": 1}, {"a": 2, "y": 1}, {"a": 3, "y": 1}]
    header = [(), (("h", b"1"),), ()]
    block = decode(records, batch={"defects": defects, "keys": [b"k", b"l", None], "headers": header, "note": {"n": 1}})
    assert features_of(block).tolist() == [[1], [3]]
    (rejection,) = block.rejections
    assert (rejection.defect, rejection.key, rejection.headers) == (defects[1], b"l", header[1])
    assert (rejection.start, rejection.end) == (11, 12)
    assert block.note == {"n": 1}


def test_a_rejected_row_of_a_columnar_file_is_kept_as_json() -> None:
    (rejection,) = decode([{"a": None, "y": 1, "at": datetime(2024, 1, 1, tzinfo=UTC)}], format="parquet").rejections
    assert json.loads(rejection.value) == {"a": None, "y": 1, "at": "2024-01-01T00:00:00Z"}


def test_a_batch_without_a_good_record() -> None:
    block = decode([b"", b"{"], {"a": "float", "v": {"vector": 2}, "t": {"timestamp": ["hour"]}}, weight="w")
    assert features_of(block).shape == (0, 5)
    assert labels_of(block).shape == (0, 1)
    assert block.samples.weight.shape == (0,)
    assert len(block.rejections) == 2


def test_csv_takes_quotes_and_carriage_returns() -> None:
    records = [b'"1.5",1,"a,b"\r', b"2,0,a\r", b' 3 ,1,"say ""hi"""']
    block = decode(
        records, {"a": "float", "c": {"values": ["a,b", 'say "hi"']}}, format="csv", batch={"columns": ("a", "y", "c")}
    )
    assert features_of(block).tolist() == [[1.5, 1], [2, 0], [3, 2]]


@pytest.mark.parametrize("cell", ["1.5", " 1.5", "+1.5", "15e-1", "1.50"])
def test_csv_numbers(cell: str) -> None:
    assert csv("float", cell) == [1.5]


def test_csv_without_quotes_takes_them_as_text() -> None:
    given: dict[str, Any] = {"format": "csv", "quote": "none", "batch": {"columns": ("a", "y", "c")}}
    records = [b'1,1,"x', b'2,0,5" pipe', b'3,1,"a,b"']
    block = decode(records, {"a": "float", "c": {"values": ['"x', '5" pipe']}}, **given)
    assert features_of(block).tolist() == [[1, 1], [2, 2]]
    assert [rejection.defect.reason for rejection in block.rejections] == ["wrong_column_count"]


def test_csv_without_a_needed_column() -> None:
    block = decode(
        [b"1,2"], {"a": "float", "b": {"type": "float", "default": 3}}, format="csv", batch={"columns": ("a", "x")}
    )
    assert [r.defect.detail for r in block.rejections] == ["y: missing"]


def test_csv_with_a_column_too_many() -> None:
    block = decode([b"1,0,5"], format="csv", extra_fields="reject", batch={"columns": ("a", "y", "z")})
    assert [r.defect.reason for r in block.rejections] == ["extra"]


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_the_key_is_no_extra_field(form: str) -> None:
    assert decode([{"a": 1, "y": 1, "k": "u"}], format=form, key="k", extra_fields="reject").rejections == ()


def test_held_out_records_are_samples_that_do_not_train() -> None:
    records = [{"a": index, "y": 1, "k": f"u{index % 7}"} for index in range(70)]
    block = decode(records, key="k", holdout=HoldoutRule(0.5, "key"))
    held = block.fates == Fate.HOLD_OUT
    assert 0 < held.sum() < 70
    assert len(block.samples) == 70
    assert all(len(set(held[first::7].tolist())) == 1 for first in range(7))


def test_the_keys_of_the_records_stand_in_for_a_key_field() -> None:
    keys = [b"u1", b"u2", None] * 20
    records = [{"a": 1, "y": 1}] * 60
    rule = HoldoutRule(0.5, "key")
    block = decode(records, holdout=rule, batch={"keys": keys})
    assert (block.fates == Fate.HOLD_OUT).tolist() == rule.held_out("p", np.arange(10, 70), keys).tolist()


def test_keys_of_rejected_records_do_not_shift_the_others() -> None:
    records = [{"a": 1, "y": 1, "k": f"u{index}"} for index in range(40)]
    rule = HoldoutRule(0.5, "key")
    whole = decode(records, key="k", holdout=rule).fates
    bad = [{**record, "a": 1e39} if index % 3 == 0 else record for index, record in enumerate(records)]
    fates = decode(bad, key="k", holdout=rule).fates
    kept = fates != Fate.REJECT
    np.testing.assert_array_equal(fates[kept], whole[kept])
    assert (~kept).sum() == 14


BY_KEY = HoldoutRule(0.5, "key")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"a": 1, "y": 1, "user": "u1"}, None),
        ({"a": 1, "y": 1, "user": 7}, None),
        ({"a": 1, "y": 1}, "missing"),
        ({"a": 1, "y": 1, "user": None}, "null"),
        ({"a": 1, "y": 1, "user": ["u1"]}, "wrong_type"),
        ({"a": 1e39, "y": 1, "user": None}, "overflow"),
    ],
)
def test_a_holdout_by_key_takes_no_record_without_the_declared_key(record: dict[str, Any], reason: str | None) -> None:
    good = {"a": 2, "y": 0, "user": "u2"}
    for form, records in (("json", [good, record, good]), ("parquet", [good, record, good])):
        block = decode(records, holdout=BY_KEY, key="user", format=form)
        assert [rejection.defect.reason for rejection in block.rejections] == ([reason] if reason else [])
        assert (block.fates == Fate.REJECT).tolist() == [False, reason is not None, False]
        assert len(block.samples) == 3 - len(block.rejections)
    if reason != "overflow":
        assert not decode([good, record, good], holdout=HoldoutRule(0.5, "position"), key="user").rejections


def test_a_csv_row_without_its_key_cannot_be_held_out_by_key() -> None:
    rows = [b"1,1,u", b"2,0,"]
    block = decode(rows, holdout=BY_KEY, key="user", format="csv", batch={"columns": ("a", "y", "user")})
    (rejection,) = block.rejections
    assert rejection.defect.reason == "missing"
    assert rejection.defect.detail.startswith("user: missing: its cell is empty")
    assert rejection.defect.detail.endswith(", but the holdout needs it as the key")
    block = decode(rows, holdout=BY_KEY, key="usr", format="csv", batch={"columns": ("a", "y", "user")})
    assert [r.defect.reason for r in block.rejections] == ["missing", "missing"]


def test_a_record_that_its_source_gives_no_key_is_held_out_by_its_position() -> None:
    block = decode([{"a": 1, "y": 1}] * 3, holdout=BY_KEY, batch={"keys": [b"k", None, b"k"]})
    assert not block.rejections


def test_a_list_of_allowed_values_that_is_cut_off_shows_it() -> None:
    few = decode([{"a": 1, "y": "z"}], task="classes", label={"field": "y", "classes": ["p", "q"]})
    many = decode([{"a": 1, "y": 99}], task="classes", label={"field": "y", "classes": 12})
    assert few.rejections[0].defect.detail == "y: 'z' is not one of p, q"
    assert many.rejections[0].defect.detail == "y: 99 is not one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"


def framed(number: int, record: dict[str, Any]) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + json.dumps(record).encode()


@pytest.mark.parametrize("first", [True, False])
def test_json_behind_the_number_of_its_schema_is_read(first: bool) -> None:
    records = [
        framed(10, {"a": 1, "y": 1}),
        json.dumps({"a": 2, "y": 0}).encode(),
        framed(123, {"a": math.nan, "y": 0}),
    ]
    block = decode(records if first else records[::-1], {"a": {"type": "float", "default": 7}})
    assert features_of(block)[:, 0].tolist() == ([1, 2, 7] if first else [7, 2, 1])
    (letter,) = decode([framed(1, {"a": "much", "y": 1})]).rejections
    assert (letter.defect.reason, letter.value[:5]) == ("wrong_type", b"\0\0\0\0\1")


def test_other_bytes_after_a_zero_are_no_json() -> None:
    utf_16 = '{"{": 1}'.encode("utf-16-be")
    reasons = [
        rejection.defect.reason for rejection in decode([b"\0", b"\0\0\0\0\1", b"\0\0\0\0\1[1]", utf_16]).rejections
    ]
    assert reasons == ["bad_encoding"] * 4
