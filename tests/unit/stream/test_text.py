"""Texts in records: their words become ids, and what is no text is told so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import blocks_of
from pydantic import ValidationError

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.categories import bucket
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.encoding import Encoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, Block, InputSpec, RecordBatch

LISTED = {"length": 4, "vocabulary": ["good", "bad", "ärger"]}
TEXTS = ["Good, bad & GOOD.", "bad " * 9, "Ärger ärger", "what\tgood\u00a0bad"]
IDS = [[2, 3, 2, 0], [3, 3, 3, 3], [1, 4, 0, 0], [1, 1, 0, 0]]


def samples(text: Any = LISTED, form: str = "json", **feature: Any) -> SamplesSettings:
    given = {"format": form, "features": {"t": {"text": text, **feature}}, "label": "y"}
    return SamplesSettings.model_validate(given)


def decoded(settings: SamplesSettings, *values: Any, **batch: Any) -> Block:
    some = RecordBatch("p", 0, np.arange(1, len(values) + 1), values, **batch)
    return SampleDecoder(settings, settings.spec("binary")).decode(some)


def of_json(settings: SamplesSettings, *texts: Any) -> Block:
    return decoded(settings, *(json.dumps({"t": text, "y": 1}).encode() for text in texts))


def told(block: Block) -> list[tuple[str, str]]:
    return [(one.defect.reason, one.defect.detail) for one in block.rejections]


def test_it_is_an_input_of_ids() -> None:
    spec = samples().spec("binary")
    words = ("good", "bad", "ärger")
    assert spec.inputs == (InputSpec(FEATURES, (4,), "int32", vocabulary_size=5, vocabulary=words),)
    assert samples({"length": 7, "hash": 100}).spec("binary").inputs[0].vocabulary_size == 101
    assert (spec.width, spec.bytes_a_sample, spec.inputs[0].described) == (0, 16, "a text of 4 words")
    beside = SamplesSettings.model_validate({"features": {"t": {"text": LISTED}, "a": "float"}, "label": "y"})
    assert [part.name for part in beside.spec("binary").inputs] == [FEATURES, "t"]


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "binary parquet", "raw", "careful json"])
def test_it_is_the_same_in_each_format(tmp_path: Path, form: str) -> None:
    if form.endswith("json"):
        block = of_json(samples(), *TEXTS, *([5] if form == "careful json" else []))
    elif form == "csv":
        rows = [f'"{text}",1'.encode() for text in TEXTS]
        block = decoded(samples(form="csv"), *rows, columns=("t", "y"))
    elif form == "raw":
        settings = SamplesSettings.model_validate(
            {
                "format": "raw",
                "features": {"t": {"text": LISTED, "field": "content"}},
                "label": {"field": "folder", "values": ["neg", "pos"]},
            }
        )
        block = decoded(settings, *(b"\xef\xbb\xbf" + text.encode() for text in TEXTS), keys=[b"pos/1"] * len(TEXTS))
    else:
        given: list[Any] = [text.encode() for text in TEXTS] if form.startswith("binary") else TEXTS
        pq.write_table(pa.table({"t": given, "y": [1] * len(TEXTS)}), tmp_path / "a.parquet")
        settings = samples(form="parquet")
        (block,) = blocks_of(tmp_path / "a.parquet", settings, settings.spec("binary"))
    ids = block.samples.inputs[FEATURES]
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, IDS)
    assert len(block.rejections) == (form == "careful json")


def test_a_hash_is_that_of_categories_behind_0() -> None:
    block = of_json(samples({"length": 3, "hash": 50}), "Hello, wörld", "hello")
    hello, world = 1 + bucket(b"hello", 50), 1 + bucket("wörld".encode(), 50)
    np.testing.assert_array_equal(block.samples.inputs[FEATURES], [[hello, world, 0], [hello, 0, 0]])


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (None, "null", "t"),
        (7, "wrong_type", "t"),
        (["a"], "wrong_type", "t"),
        ("", "missing", "t: missing, since there is no word in ''; give the feature a default"),
        (" ?! ", "missing", "t: missing, since there is no word in ' ?! '"),
    ],
)
def test_what_is_no_text_is_rejected(value: Any, reason: str, detail: str) -> None:
    ((found, why),) = told(of_json(samples(), "good", value))
    assert found == reason
    assert detail in why
    block = decoded(samples(form="parquet"), {"t": value, "y": 1}, {"y": 1})
    assert [reason for reason, _ in told(block)] == [reason, "missing"]


def test_bytes_that_are_no_text_are_rejected() -> None:
    settings = samples(form="parquet")
    block = decoded(settings, *({"t": data, "y": 1} for data in (b"good", "größe".encode("latin-1"), b"g\0o\0")))
    (latin, utf_16) = told(block)
    assert latin[0] == utf_16[0] == "bad_encoding"
    assert "t: not UTF-8 at byte 2; convert the file" in latin[1]
    assert "probably UTF-16" in utf_16[1]


def test_a_default_stands_in_for_texts_that_are_missing_or_empty() -> None:
    settings = samples(default="bad text")
    block = of_json(settings, None, "...", "good", 3)
    np.testing.assert_array_equal(block.samples.inputs[FEATURES], [[3, 1, 0, 0], [3, 1, 0, 0], [2, 0, 0, 0]])
    assert [reason for reason, _ in told(block)] == ["wrong_type"]
    block = decoded(samples(default="", form="csv"), b"NA,1", b",1", b"a NA,1", columns=("t", "y"))
    np.testing.assert_array_equal(block.samples.inputs[FEATURES], [[0] * 4, [0] * 4, [1, 1, 0, 0]])
    lost = float("nan")
    np.testing.assert_array_equal(
        decoded(samples(default="good", form="parquet"), {"t": lost, "y": 1}).samples.inputs[FEATURES], [[2, 0, 0, 0]]
    )


def test_what_fields_lack_is_counted() -> None:
    settings = samples(default="x")
    decoder = SampleDecoder(settings, settings.spec("binary"))
    decoder.decode(RecordBatch("p", 0, np.arange(1, 2), [b'{"y": 1}']))
    assert decoder.tally.missing_shares() == {"t": 1.0}


def test_the_encoder_gives_the_ids() -> None:
    encode = Encoder(samples(), "binary")
    np.testing.assert_array_equal(encode([{"t": text} for text in TEXTS]), IDS)
    assert encode([]).shape == (0, 4)
    with pytest.raises(DataError, match=r"record 1 of 2 cannot be encoded: t: missing, since there is no word in '!'"):
        encode([{"t": "good"}, {"t": "!"}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"length": 3}, "say which ids words have: by `hash`, or by a `vocabulary`"),
        ({**LISTED, "hash": 10}, "say which ids words have"),
        ({"length": 0, "hash": 10}, "length"),
        ({"length": 3, "vocabulary": ["a", "b", "a"]}, "'a' is listed twice"),
        ({"length": 3, "vocabulary": ["Don't"]}, "\"Don't\" is never found.*write 'dont'"),
        ({"length": 3, "vocabulary": ["new york"]}, "'new york' is never found.*leave it out"),
        ({"length": 3, "vocabulary": ["a", ""]}, "'' is never found"),
    ],
)
def test_a_text_that_cannot_be(text: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        samples(text)


def test_the_first_two_lines_of_keras_are_passed_over() -> None:
    form = samples({"length": 3, "vocabulary": ["", "[UNK]", "a", "b"]}).features["t"].text
    assert form is not None
    assert form.vocabulary == ["a", "b"]


def test_a_default_is_a_text() -> None:
    with pytest.raises(ValidationError, match=r"default: 3\.0 is not a value of this feature"):
        samples(default=3.0)


def test_ids_are_no_label() -> None:
    given = {"features": {"t": {"text": LISTED}}, "label": {"from": "inputs"}}
    with pytest.raises(Exception, match="'features' is a text, whose ids are no numbers to give back"):
        SamplesSettings.model_validate(given).spec("regression")
