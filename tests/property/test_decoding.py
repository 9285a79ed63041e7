"""What decoding promises for any bytes: no exception, only finite numbers, and no record that depends on others."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from blocks import features_of
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.numbers import NumberReader
from learnd.daemon.stream.decoding.texts import Texts, number_from_text
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, LABEL, Block, Fate, RecordBatch

DECLARED: dict[str, Any] = {
    "a": "float",
    "b": {"type": "float", "default": 1.0},
    "n": "integer",
    "c": {"hash": 16},
    "o": {"values": ["x", 1, True]},
    "v": {"vector": 2},
    "t": {"timestamp": ["hour", "day_of_month", "day_of_year", "month", "weekday", "minute"]},
}
HEADER = (*DECLARED, "y", "w", "k")


def decoder(form: str, **changes: Any) -> SampleDecoder:
    given_settings = {"format": form, "features": DECLARED, "label": "y", "weight": "w", "key": "k", **changes}
    settings = SamplesSettings.model_validate(given_settings)
    return SampleDecoder(settings, settings.spec("binary"), HoldoutRule(0.3, "key"))


DECODERS = {form: decoder(form) for form in ("json", "csv", "parquet")}


def batch(form: str, records: list[Any], start: int = 0) -> RecordBatch:
    ends = np.arange(start + 1, start + 1 + len(records))
    return RecordBatch("p", start, ends, records, HEADER if form == "csv" else None)


def check(block: Block, count: int) -> None:
    """Assert what must hold of every block."""
    samples, arrays = int((block.fates != Fate.REJECT).sum()), block.samples.named()
    assert len(block.fates) == len(block) == count
    assert len(block.rejections) == count - samples
    assert set(arrays) == {f"inputs/{FEATURES}", f"targets/{LABEL}", "weight"}
    for array in arrays.values():
        assert (len(array), array.dtype) == (samples, np.float32)
        assert np.isfinite(array).all()
    assert features_of(block).flags.c_contiguous
    assert (block.samples.weight >= 0).all()
    assert [r.start for r in block.rejections] == np.flatnonzero(block.fates == Fate.REJECT).tolist()


def numbers() -> st.SearchStrategy[Any]:
    return st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, -1, 0.5, 2**24, 1e39, 10**400]))


def anything() -> st.SearchStrategy[Any]:
    leaves = st.one_of(st.none(), st.booleans(), numbers(), st.text(max_size=5), st.sampled_from(["x", "1", "true"]))
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
    )


def rows() -> st.SearchStrategy[dict[str, Any]]:
    """Mappings that are often right: each field is mostly of its type, and sometimes anything."""
    right = {
        "a": st.floats(-10, 10),
        "b": st.none() | st.integers(-3, 3),
        "n": st.integers(-9, 9),
        "c": st.text(max_size=3),
        "o": st.sampled_from(["x", 1, True, "else"]),
        "v": st.lists(st.floats(-1, 1), min_size=2, max_size=2),
        "t": st.floats(-1e10, 1e11) | st.sampled_from(["2024-01-31T10:00:00+02:00", "1999-12-31"]),
        "y": st.sampled_from([0, 1, True, False]),
        "w": st.floats(0, 2),
        "k": st.text(max_size=2) | st.integers(0, 5),
    }
    whole = st.fixed_dictionaries(right)
    broken = st.tuples(whole, st.sampled_from(sorted(right)), anything()).map(lambda t: {**t[0], t[1]: t[2]})
    short = st.tuples(whole, st.sampled_from(sorted(right))).map(lambda t: {k: v for k, v in t[0].items() if k != t[1]})
    return st.one_of(whole, whole, broken, short)


def json_lines() -> st.SearchStrategy[bytes]:
    text = rows().map(lambda row: json.dumps(row).encode())
    mutated = st.builds(_mutate, text, st.integers(0, 300), st.binary(max_size=3))
    return st.one_of(text, text, mutated, anything().map(lambda v: json.dumps(v).encode()), st.binary(max_size=30))


def csv_lines() -> st.SearchStrategy[bytes]:
    cell = st.one_of(
        st.sampled_from(
            ["1", "0", "-2.5", "1e5", "nan", "inf", "1_0", "", " ", '"1"', '"1,5"', "x", "1 2", "[1, 2]", "-0"]
        ),
        st.text(max_size=4),
        st.floats().map(str),
    )
    row = st.lists(cell, min_size=len(HEADER), max_size=len(HEADER)).map(
        lambda cells: ",".join(cells).encode("utf-8", "replace")
    )
    good = st.sampled_from(
        [b"1,2,3,c,x,1 2,5,1,1,k", b"-0,,-3,d,1,[0.5;1],2024-01-01,0,0,", b'.5,2,3,"c,d",x,1 2,5,1,1,k']
    )
    return st.one_of(
        row, good, st.builds(_mutate, good, st.integers(0, 30), st.binary(max_size=2)), st.binary(max_size=30)
    )


def _mutate(data: bytes, at: int, put: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + put + data[at + 1 :]


RECORDS: dict[str, st.SearchStrategy[Any]] = {"json": json_lines(), "csv": csv_lines(), "parquet": rows()}


@pytest.mark.parametrize("form", RECORDS)
@given(data=st.data())
def test_any_records_decode_without_an_exception(form: str, data: st.DataObject) -> None:
    records = data.draw(st.lists(RECORDS[form], min_size=1, max_size=6))
    check(DECODERS[form].decode(batch(form, records)), len(records))


@pytest.mark.parametrize("form", RECORDS)
@given(data=st.data())
def test_a_batch_decodes_as_its_parts_do(form: str, data: st.DataObject) -> None:
    records = data.draw(st.lists(RECORDS[form], min_size=2, max_size=6))
    cut = data.draw(st.integers(1, len(records) - 1))
    whole = DECODERS[form].decode(batch(form, records))
    parts = [
        decoder(form).decode(batch(form, part, start)) for start, part in ((0, records[:cut]), (cut, records[cut:]))
    ]
    assert whole.fates.tobytes() == np.concatenate([part.fates for part in parts]).tobytes()
    for name, array in whole.samples.named().items():
        together = np.concatenate([part.samples.named()[name] for part in parts])
        assert array.tobytes() == together.tobytes(), name
    assert whole.rejections == parts[0].rejections + parts[1].rejections


@given(st.binary(max_size=200))
def test_any_bytes_are_a_rejection_or_a_sample(record: bytes) -> None:
    for form in ("json", "csv"):
        check(DECODERS[form].decode(batch(form, [record])), 1)


@given(rows())
def test_json_and_mappings_agree(row: dict[str, Any]) -> None:
    text = json.dumps(row)
    if "Infinity" in text or "NaN" in text:
        return  # no JSON
    by_text = DECODERS["json"].decode(batch("json", [text.encode()]))
    by_row = DECODERS["parquet"].decode(batch("parquet", [json.loads(text)]))
    if len(by_text.samples):
        assert features_of(by_row).tobytes() == features_of(by_text).tobytes()
        assert by_row.fates.tolist() == by_text.fates.tolist()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_csv_cells_read_to_the_last_bit(values: list[float]) -> None:
    cells = [repr(value) for value in values]
    together = NumberReader(Texts()).read(NumberReader(Texts()).from_text(cells))[:, 0]
    assert together.tobytes() == b"".join(struct.pack("<d", value + 0.0) for value in values)
    assert [number_from_text(cell) for cell in cells] == values


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.binary(max_size=3)), min_size=1, max_size=20),
    st.integers(1, 19),
)
def test_a_holdout_does_not_depend_on_the_cut(keys: list[str | bytes | None], cut: int) -> None:
    starts = np.arange(len(keys)) * 10
    rule, other = HoldoutRule(0.5, "key"), HoldoutRule(0.5, "key")
    whole = rule.held_out("p", starts, keys)
    parts = [other.held_out("p", starts[part], keys[part]) for part in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    held = {key: flag for key, flag in zip(keys, whole.tolist(), strict=True) if key is not None}
    assert all(held[key] == flag for key, flag in zip(keys, whole.tolist(), strict=True) if key is not None)
