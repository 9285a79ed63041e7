"""Avro and `tf.train.Example`, through the decoder that every format goes through."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from blocks import features_of, labels_of

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.messages import _example_type
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, RecordBatch

FEATURES = {
    "amount": "float",
    "clicks": {"type": "integer", "default": -1},
    "country": {"values": ["AT", "CH"]},
    "history": {"vector": 3},
}
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "amount", "type": "double"},
        {"name": "clicks", "type": ["null", "long"], "default": None},
        {"name": "country", "type": {"type": "enum", "name": "Country", "symbols": ["AT", "CH", "DE"]}},
        {"name": "history", "type": {"type": "array", "items": "float"}},
        {"name": "fraud", "type": "boolean"},
    ],
}
GOOD = {"amount": 1.5, "clicks": 3, "country": "CH", "history": [1.0, 2.0, 3.0], "fraud": True}


def decoder(form: str, features: Any = None, **settings: Any) -> SampleDecoder:
    given = {"format": form, "features": features or FEATURES, "label": "fraud", **settings}
    samples = SamplesSettings.model_validate(given)
    return SampleDecoder(samples, samples.spec("binary"))


def batch(values: list[bytes], schemas: dict[int, tuple[str, ...]] | None = None) -> RecordBatch:
    return RecordBatch("t/0", 0, np.arange(1, len(values) + 1), values, schemas=schemas)


def avro(record: Any, schema: Any = SCHEMA, number: int | None = None) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema, named_schemas={}), record)
    return (b"" if number is None else b"\0" + number.to_bytes(4, "big")) + stream.getvalue()


def schema_file(folder: Path, schema: Any = SCHEMA) -> Path:
    path = folder / "click.avsc"
    path.write_text(json.dumps(schema))
    return path


def reasons(block: Block) -> list[str]:
    return [rejection.defect.reason for rejection in block.rejections]


ROW = [1.5, 3, 2, 1, 2, 3]


def test_avro_by_the_schema_of_a_file(tmp_path: Path) -> None:
    values = [avro(GOOD), avro({**GOOD, "clicks": None, "country": "DE", "fraud": False})]
    block = decoder("avro", schema_file=schema_file(tmp_path)).decode(batch(values))
    assert features_of(block).tolist() == [ROW, [1.5, -1, 0, 1, 2, 3]]
    assert labels_of(block).tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "bad_avro"),
        (avro(GOOD)[:-3], "bad_avro"),
        (avro(GOOD) + b"x", "bad_avro"),
        (b"\xff" * 40, "bad_avro"),
        (avro({**GOOD, "amount": float("nan")}), "not_finite"),
        (avro({**GOOD, "amount": 1e300}), "overflow"),
        (avro({**GOOD, "history": [1.0]}), "wrong_length"),
        (avro({**GOOD, "history": [1.0, 2.0, float("inf")]}), "not_finite"),
    ],
)
def test_avro_that_is_no_sample(tmp_path: Path, value: bytes, reason: str) -> None:
    block = decoder("avro", schema_file=schema_file(tmp_path)).decode(batch([avro(GOOD), value, avro(GOOD)]))
    assert reasons(block) == [reason]
    assert block.rejections[0].value == value
    assert " at 0x" not in block.rejections[0].defect.detail  # the same words in each process
    assert features_of(block).tolist() == [ROW, ROW]


def test_avro_that_names_its_schema_is_read_by_that_one_and_resolved_to_the_readers(tmp_path: Path) -> None:
    older = {**SCHEMA, "fields": [field for field in SCHEMA["fields"] if field["name"] != "clicks"]}  # type: ignore[attr-defined, index]
    newer = {**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "more", "type": "string"}]}  # type: ignore[misc]
    other = {"type": "record", "name": "Click", "fields": [{"name": "amount", "type": "string"}]}
    schemas = {7: (json.dumps(older),), 8: (json.dumps(newer),), 9: (json.dumps(other),), 10: ('{"type": "no"}',)}
    values = [
        avro({key: value for key, value in GOOD.items() if key != "clicks"}, older, 7),
        avro({**GOOD, "more": "yes"}, newer, 8),
        avro({"amount": "much"}, other, 9),
        avro(GOOD, SCHEMA, 10),
        avro(GOOD, SCHEMA, 11),
        b"\1" + avro(GOOD),
        b"\0\0",
    ]
    block = decoder("avro", schema_file=schema_file(tmp_path)).decode(batch(values, schemas))
    assert features_of(block).tolist() == [[1.5, -1, 2, 1, 2, 3], ROW]
    assert reasons(block) == ["schema_mismatch", "unknown_schema", "unknown_schema", "bad_avro", "bad_avro"]


def test_without_a_schema_of_the_readers_the_writers_counts() -> None:
    value = avro({**GOOD, "amount": 2.5}, number=7)
    block = decoder("avro").decode(batch([value], {7: (json.dumps(SCHEMA),)}))
    assert features_of(block).tolist() == [[2.5, 3, 2, 1, 2, 3]]


def test_a_schema_that_builds_on_another() -> None:
    money = {"type": "record", "name": "Money", "fields": [{"name": "amount", "type": "int"}]}
    pays = {
        "type": "record",
        "name": "Pays",
        "fields": [{"name": "paid", "type": "Money"}, {"name": "fraud", "type": "int"}],
    }
    stream = io.BytesIO()
    named: dict[str, Any] = {}
    fastavro.parse_schema(money, named_schemas=named)
    fastavro.schemaless_writer(
        stream, fastavro.parse_schema(pays, named_schemas=named), {"paid": {"amount": 4}, "fraud": 1}
    )
    value = b"\0\0\0\0\2" + stream.getvalue()
    block = decoder("avro", {"paid.amount": "float"}).decode(batch([value], {2: (json.dumps(money), json.dumps(pays))}))
    assert (features_of(block).tolist(), labels_of(block).tolist()) == ([[4]], [[1]])


@pytest.mark.parametrize(("text", "message"), [(None, "cannot be read"), ("{", "is not an Avro schema")])
def test_a_schema_file_that_is_none(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "click.avsc"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingsError, match=message):
        decoder("avro", schema_file=path)


def example(**features: Any) -> bytes:
    message = _example_type()()
    for name, given in features.items():
        kind, values = given if isinstance(given, tuple) else ("float_list", given)
        getattr(message.features.feature[name], kind).value.extend(values)
    return bytes(message.SerializeToString())


GOOD_EXAMPLE = {
    "amount": [1.5],
    "clicks": ("int64_list", [3]),
    "country": ("bytes_list", [b"CH"]),
    "history": [1, 2, 3],
    "fraud": ("int64_list", [1]),
}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": []}, "null"),
        ({"amount": [1, 2]}, "wrong_type"),
        ({"amount": ("bytes_list", [b"much"])}, "wrong_type"),
        ({"amount": [float("nan")]}, "not_finite"),
        ({"country": ("bytes_list", [b"\xff"])}, "wrong_type"),
        ({"history": [1, 2]}, "wrong_length"),
        ({"fraud": ("int64_list", [2])}, "unknown_label"),
    ],
)
def test_examples(changes: dict[str, Any], reason: str) -> None:
    values = [example(**GOOD_EXAMPLE), example(**{**GOOD_EXAMPLE, **changes}), b"\xff", b""]
    block = decoder("tf_example").decode(batch(values))
    assert features_of(block).tolist() == [ROW]
    assert reasons(block) == [reason, "bad_example", "missing"]


def test_lists_of_one() -> None:
    features = {"history": {"vector": 1}, "user.age": "float"}
    value = example(**{"history": [4], "user.age": [30], "fraud": [0]})
    assert features_of(decoder("tf_example", features).decode(batch([value]))).tolist() == [[4, 30]]


def test_examples_of_tensorflow_itself() -> None:
    from tensorflow.core.example import example_pb2, feature_pb2

    feature = {
        "amount": feature_pb2.Feature(float_list=feature_pb2.FloatList(value=[1.5])),
        "clicks": feature_pb2.Feature(int64_list=feature_pb2.Int64List(value=[3])),
        "country": feature_pb2.Feature(bytes_list=feature_pb2.BytesList(value=[b"CH"])),
        "history": feature_pb2.Feature(float_list=feature_pb2.FloatList(value=[1, 2, 3])),
        "fraud": feature_pb2.Feature(int64_list=feature_pb2.Int64List(value=[1])),
    }
    message = example_pb2.Example(features=feature_pb2.Features(feature=feature))
    assert features_of(decoder("tf_example").decode(batch([message.SerializeToString()]))).tolist() == [ROW]
