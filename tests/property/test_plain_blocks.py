"""Blocks that are read all at once give what their records give one by one: samples, rejections, order, to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.stream.decoding.arrow import values_of
from learnd.daemon.stream.decoding.cells import PlainRows
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, Columnar, Defect, Fate, RecordBatch

FEATURES: dict[str, Any] = {
    "a": "float",
    "b": {"type": "float", "default": 1.5},
    "n": "integer",
    "f": {"type": "boolean", "default": True},
    "h": {"hash": 16},
    "d": {"hash": 16, "default": "none"},
    "o": {"values": ["x", 1, True]},
    "r": {"values": ["x", "y"], "unknown": "reject", "default": "y"},
    "t": {"timestamp": ["hour", "month"]},
    "v": {"vector": 2},
}
HEADER = (*FEATURES, "y", "w", "e", "k")
TASKS: dict[str, tuple[str, Any]] = {
    "binary": ("binary", "y"),
    "against": ("binary", {"field": "y", "positive": 1}),
    "listed": ("classes", {"field": "y", "classes": ["0", "1", "x"]}),
    "learnt": ("classes", {"field": "y", "classes": {"max": 3}}),
    "number": ("regression", "y"),
}


def decoder(form: str, label: str = "binary", **changes: Any) -> SampleDecoder:
    return _new(form, label, json.dumps(changes)) if label == "learnt" else _kept(form, label, json.dumps(changes))


def _new(form: str, label: str, changes: str) -> SampleDecoder:
    task, field = TASKS[label]
    given_settings = {"features": FEATURES, "label": field, "weight": "w", "event_time": "e", "key": "k"}
    settings = SamplesSettings.model_validate({"format": form, **given_settings, **json.loads(changes)})
    return SampleDecoder(settings, settings.spec(task), HoldoutRule(0.3, "key"))


_kept = cache(_new)


def batch(values: Any, columns: tuple[str, ...] | None = None) -> RecordBatch:
    return RecordBatch("p", 0, np.arange(1, len(values) + 1), values, columns)


def with_a_broken_one(records: RecordBatch) -> RecordBatch:
    """Add a record that the source knows to be broken: none of the others can then be read all at once."""
    count = len(records)
    ends = np.arange(1, count + 2)
    return replace(records, values=[*records.values, b"?"], ends=ends, defects={count: Defect("truncated", "?")})


def assert_same(block: Block, other: Block, count: int) -> None:
    """Assert that the first `count` records became the same."""
    assert block.fates[:count].tolist() == other.fates[:count].tolist()
    assert block.rejections[:count] == tuple(one for one in other.rejections if one.end <= count)
    for name, array in block.samples.named().items():
        assert array.tobytes() == other.samples.named()[name].tobytes(), name
    assert block.event_time_s is not None
    assert other.event_time_s is not None
    assert block.event_time_s.tobytes() == other.event_time_s.tobytes()
    assert block.new_classes == other.new_classes


NUMBERS = [
    "0",
    "1",
    "-2.5",
    "1e5",
    "1E-7",
    ".5",
    "5.",
    "007",
    "-0",
    "-0.0",
    "0.1000000000000000055511151231257827021181583",
]
LARGE = ["9007199254740993", "123456789012345678901234567890", "1e39", "4.9e-324", "2.4703282292062327e-324", "1e-400"]
ODD = [
    "+1",
    "1_000",
    "0x10",
    "1e400",
    "-1e999",
    "inf",
    "-Infinity",
    "nan",
    "NaN(1)",
    "nan(1)",
    "1d5",
    "1f",
    "\u0661",
]
MISSING = ["", " ", "NA", "null", "None", "-", " NA ", "na", "#N/A", "-999"]
WORDS = [
    "x",
    "y",
    "true",
    "False",
    "yes",
    "é",
    "x ",
    " 1 ",
    "\t2",
    "1\t",
    "\u00a03",
    "2024-02-29",
    "2024-01-31T10:00:00+02:00",
    "1 2",
]
TEXT = st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=4)
REPEATED = st.sampled_from([*NUMBERS[:5], "x", ""])
CELLS = st.one_of(
    st.sampled_from([*NUMBERS, *LARGE]),
    st.sampled_from(MISSING),
    st.sampled_from([*ODD, *WORDS]),
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    TEXT,
)
RIGHT: dict[str, st.SearchStrategy[str]] = {
    "a": st.floats(-1e30, 1e30).map(repr),
    "b": st.sampled_from(["", "NA", "-1", "2.25"]),
    "n": st.integers(-(2**60), 2**60).map(str),
    "f": st.sampled_from(["0", "true", "no", ""]),
    "h": TEXT | st.sampled_from(["x", "y"]),
    "d": st.sampled_from(["x", "", "NA"]),
    "o": st.sampled_from(["x", "1", "true", "else"]),
    "r": st.sampled_from(["x", "y", ""]),
    "t": st.sampled_from(["2024-02-29", "1700000000"]) | st.integers(-(10**9), 10**10).map(str),
    "v": st.sampled_from(["1 2", "[1, 2]".replace(", ", " "), "0 -0"]),
    "y": st.sampled_from(["0", "1"]),
    "w": st.sampled_from(["0", "1", "0.5"]),
    "e": st.integers(0, 2**31).map(str),
    "k": st.sampled_from(["u1", "u2"]),
}


@st.composite
def csv_rows(draw: st.DrawFn, header: tuple[str, ...], delimiter: str) -> list[bytes]:
    """Rows that are right but for a cell or so, and seldom for more."""
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        cells = [draw(RIGHT.get(name, REPEATED)) for name in header]
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
            cells[draw(st.integers(0, len(header) - 1))] = draw(CELLS)
        rows.append(delimiter.join(cells).encode())
    if draw(st.sampled_from([False, False, False, True])):
        at = draw(st.integers(0, len(rows) - 1))
        broken = [b"", rows[at] + b"\r", delimiter.encode() + rows[at], b"\xff" + rows[at], b"\xef\xbb\xbf" + rows[at]]
        broken += [rows[at] + b"\n" + rows[at], b'"' + rows[at], rows[at].replace(b"x", b'"x"'), rows[at] + b"\0"]
        rows[at] = draw(st.sampled_from([*broken, draw(st.binary(max_size=9))]))
    return rows


CSV: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("binary", {}, HEADER),
    ("against", {"quote": "none", "delimiter": ";"}, HEADER),
    ("listed", {"missing": ["-999", "NA", "x"], "delimiter": "\t"}, (*HEADER, "unused")),
    ("learnt", {"extra_fields": "reject"}, HEADER),
    ("number", {"decimal": ",", "thousands": ".", "delimiter": ";"}, HEADER[::-1]),
    ("binary", {"units": ["%", "x"], "delimiter": "é"}, (*HEADER, "a")),
    ("binary", {"missing": [], "delimiter": " "}, tuple(name for name in HEADER if name != "b")),
    ("binary", {"extra_fields": "reject"}, (*HEADER, "unused")),
]


@pytest.mark.parametrize("case", range(len(CSV)))
@given(data=st.data())
def test_rows_of_csv_are_the_same_together_and_one_by_one(case: int, data: st.DataObject) -> None:
    label, changes, header = CSV[case]
    rows = data.draw(csv_rows(header, changes.get("delimiter", ",")))
    records = batch(rows, header)
    together = decoder("csv", label, **changes).decode(records)
    by_row = decoder("csv", label, **changes).decode(with_a_broken_one(records))
    assert_same(together, by_row, len(rows))


@given(st.lists(CELLS, min_size=1, max_size=4))
def test_a_row_may_be_one_cell(cells: list[str]) -> None:
    changes = {"features": {"a": {"type": "float", "default": 0}}, "weight": None, "event_time": "a", "key": None}
    records = batch([cell.encode() for cell in cells], ("a",))
    settings = SamplesSettings.model_validate({"format": "csv", "label": "y", **changes})
    together, by_row = (
        SampleDecoder(settings, replace(settings.spec("binary"), targets=())).decode(one)
        for one in (records, with_a_broken_one(records))
    )
    assert_same(together, by_row, len(cells))


def test_usual_rows_are_read_together() -> None:
    rows = [b"1.5,NA,3,yes,x,,1,y,2024-02-29,1 2,1,1,5,k", b"-0,2,-3,,y,NA,x,,12,0 1,0,.5,6,k"]
    parser: Any = decoder("csv")._parser
    assert isinstance(parser.parse(batch(rows, HEADER), {}), PlainRows)
    assert not isinstance(parser.parse(batch([*rows, b'"' + rows[0]], HEADER), {}), PlainRows)


def test_a_cell_that_is_no_number_makes_no_other_column_text() -> None:
    parser: Any = decoder("csv")._parser
    rows = parser.parse(batch([b"1.5,NA,3,yes,x,,1,y,9,1 2,1,1,5,k", b"2 km,2,3,yes,x,,1,y,9,1 2,1,1,5,k"], HEADER), {})
    assert isinstance(rows, PlainRows)
    assert rows.column(("a",), list) == ["1.5", "2 km"]
    np.testing.assert_array_equal(rows.column(("b",), list), [np.nan, 2])


KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.float64(), st.floats() | st.sampled_from([0.0, -0.0, 1.0])),
    (pa.float32(), st.floats(width=32) | st.sampled_from([0.0, 1.0])),
    (pa.float16(), st.sampled_from([0.0, 1.0, -2.5])),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1])),
    (pa.uint64(), st.integers(0, 2**64 - 1) | st.sampled_from([0, 1])),
    (pa.int8(), st.integers(-2, 2)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.sampled_from([*NUMBERS, *MISSING, *WORDS]) | st.text(max_size=3)),
    (pa.large_string(), st.sampled_from(["x", "y", "1"])),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["x", "y", "1"])),
    (pa.binary(), st.binary(max_size=2)),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("s", "UTC"), st.integers(-(10**9), 10**10)),
    (pa.timestamp("ms", "+02:00"), st.integers(-(10**13), 10**13)),
    (pa.date32(), st.dates()),
    (pa.decimal128(38, 10), st.decimals(-(10**20), 10**20, places=10)),
    (pa.list_(pa.float64()), st.lists(st.floats(-2, 2), min_size=1, max_size=3)),
    (pa.list_(pa.float32()), st.lists(st.floats(width=32), min_size=2, max_size=2)),
    (pa.list_(pa.int32(), 2), st.lists(st.integers(-2, 2), min_size=2, max_size=2)),
    (pa.struct({"x": pa.int8()}), st.fixed_dictionaries({"x": st.integers(-2, 2)})),
    (pa.null(), st.none()),
]
USUAL = {"o": 7, "h": 7, "d": 7, "r": 8, "t": 11, "v": 17, "e": 12, "k": 7, "f": 6, "y": 6}


@st.composite
def columns_of(draw: st.DrawFn, names: tuple[str, ...]) -> pa.RecordBatch:
    rows = draw(st.integers(1, 5))
    arrays = []
    for name in names:
        usual = draw(st.sampled_from([True, True, True, False]))
        kind, values = KINDS[USUAL.get(name, 0) if usual else draw(st.integers(0, len(KINDS) - 1))]
        if name == "w" and usual:
            values = st.sampled_from([0.0, 1.0])
        one = values if draw(st.sampled_from([True, True, False])) else values | st.none()
        column = draw(st.lists(one, min_size=rows + 2, max_size=rows + 2))
        arrays.append(pa.array(column, kind).slice(1, rows))
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


COLUMNAR: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("binary", {}, HEADER),
    ("against", {"missing": ["x", "-999"]}, (*HEADER, "unused", "a")),
    ("listed", {"extra_fields": "reject"}, (*HEADER, "unused")),
    ("learnt", {"features": {**FEATURES, "a": {"type": "float", "field": "s.x", "default": 3}}}, (*HEADER, "s")),
    ("number", {"extra_fields": "reject"}, tuple(name for name in HEADER if name not in {"b", "n"})),
]


@pytest.mark.parametrize("case", range(len(COLUMNAR)))
@given(data=st.data())
def test_rows_of_columns_are_the_same_as_mappings(case: int, data: st.DataObject) -> None:
    label, changes, names = COLUMNAR[case]
    columns = data.draw(columns_of(names))
    together = decoder("parquet", label, **changes).decode(batch(Columnar(columns)))
    by_row = decoder("parquet", label, **changes).decode(batch(columns.to_pylist()))
    assert_same(together, by_row, columns.num_rows)


def test_columns_give_samples_and_rejections() -> None:
    """What the property above compares is not empty."""
    columns = {
        "a": [1.5, None, 2.0],
        "b": [None, 1.0, 2.0],
        "n": [1, 2, 3],
        "f": [True, None, False],
        "h": ["x", "y", "x"],
        "d": ["x", None, "z"],
        "o": ["x", "1", "q"],
        "r": ["x", "y", None],
        "t": [0, 1, 2],
        "v": [[1.0, 2.0]] * 3,
        "y": [0, 1, 1],
        "w": [1.0, 1.0, 0.5],
        "e": [5, 6, 7],
        "k": ["u", "v", "w"],
    }
    block = decoder("parquet").decode(batch(Columnar(pa.RecordBatch.from_pydict(columns))))
    assert [fate == Fate.REJECT for fate in block.fates.tolist()] == [False, True, False]
    assert (block.rejections[0].defect.reason, json.loads(block.rejections[0].value)["a"]) == ("null", None)
    assert Decimal(float(block.samples.weight[1])) == Decimal("0.5")


JSON_VALUES = st.one_of(
    st.sampled_from(
        [*NUMBERS[:5], *LARGE, "-0", "-0.0", "1e400", "null", "true", "false", "NaN", "Infinity", "+1", "01"]
    ),
    st.sampled_from(['"x"', '"1"', '"NA"', '""', '"\\u00e9"', '"\\ud800"', '"a\\"b"', "[1, 2]", '{"x": 1}', "1_000"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.text(max_size=3).map(json.dumps),
)
JSON_RIGHT: dict[str, st.SearchStrategy[str]] = {
    **dict.fromkeys("abn", st.integers(-9, 9).map(str)),
    **dict.fromkeys("hdrk", st.sampled_from(['"x"', '"y"'])),
    **dict.fromkeys("foy", st.sampled_from(["true", "1", "0"])),
    **dict.fromkeys("twe", st.sampled_from(["0", "1.5"])),
    "v": st.just("[1, 2.5]"),
}


@st.composite
def objects(draw: st.DrawFn) -> list[bytes]:
    records = []
    for _ in range(draw(st.integers(1, 4))):
        names = list(HEADER) if draw(st.booleans()) else draw(st.permutations(HEADER))
        members = [(name, draw(JSON_RIGHT[name])) for name in names]
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            at = draw(st.integers(0, len(members) - 1))
            name = draw(st.sampled_from([members[at][0], "b", "unused", "\\u0061"]))
            members[at] = (name, draw(JSON_VALUES))
        if draw(st.sampled_from([False, False, True])):
            members.append(draw(st.sampled_from(members)))
        text = ", ".join(f'"{name}": {value}' for name, value in members)
        records.append(f"{{{text}}}".encode())
    if draw(st.sampled_from([False, False, False, True])):
        at = draw(st.integers(0, len(records) - 1))
        broken = [b"", b"[]", records[at] + b" ", records[at][:-1], b"\xef\xbb\xbf" + records[at]]
        broken += [records[at] + b"\n" + records[at], b"\0\0\0\0\1" + records[at], records[at].replace(b"x", b"\xff")]
        records[at] = draw(st.sampled_from([*broken, records[at].decode().encode("utf-16")]))
    return records


@pytest.mark.parametrize("label", TASKS)
@given(records=objects(), reject=st.booleans())
def test_objects_are_the_same_together_and_one_by_one(label: str, records: list[bytes], reject: bool) -> None:
    changes = {"extra_fields": "reject" if reject else "ignore"}
    together = decoder("json", label, **changes).decode(batch(records))
    one_by_one = decoder("json", label, **changes).decode(with_a_broken_one(batch(records)))
    assert_same(together, one_by_one, len(records))


def test_a_word_for_none_that_is_a_number_is_one_in_each_block() -> None:
    made = decoder("csv", missing=["+999", "007"])
    row = "1,2,3,yes,x,x,x,x,1767614400,0 1,1,1,1767614400,k"
    rows = [row.replace("2", cell, 1).encode() for cell in ("2", " +999", "+999", "007", "7")]
    plain, careful = made.decode(batch(rows, HEADER)), made.decode(with_a_broken_one(batch(rows, HEADER)))
    assert_same(plain, careful, len(rows))
    assert plain.samples.inputs["features"][:, 1].tolist() == [2.0, 1.5, 1.5, 1.5, 7.0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", None, "y"], pa.string_view()),
        pa.array([Decimal("1.5"), None, Decimal("2.5")], pa.decimal32(5, 1)),
        pa.array([Decimal("1.5"), None, Decimal("2.5")], pa.decimal64(9, 1)),
        pa.array([0.0, -0.0, None], pa.float64()),
        pa.array([b"x", None, b"y"], pa.binary()),
    ],
    ids=lambda column: str(column.type),
)
def test_values_of_rare_types_are_those_of_python(column: Any) -> None:
    assert list(map(repr, values_of(column))) == list(map(repr, column.to_pylist()))
