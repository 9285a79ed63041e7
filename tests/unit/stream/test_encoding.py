"""The encoder gives what training reads from the same records, and needs no label."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import features_of

import learnd
from learnd.daemon.errors import DataError, SettingsError, StoreError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.encoding import Encoder, missing_inputs
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import RecordBatch

FEATURES = {
    "amount": "float",
    "count": {"type": "integer", "default": 0},
    "member": "boolean",
    "country": {"hash": 1000},
    "device": {"values": ["phone", "tablet"]},
    "time": {"timestamp": ["hour"], "field": "ts"},
    "age": {"type": "float", "field": "user.age"},
}
RECORDS: list[dict[str, Any]] = [
    {"amount": 0.1, "count": 3, "member": True, "country": "nl", "device": "phone", "ts": "2026-03-01T10:20:30Z"},
    {"amount": -1e30, "member": False, "country": 7, "device": "other", "ts": "2026-03-01T23:00:00+02:00"},
    {"amount": 5, "count": None, "member": 1, "country": 'a "quoted", word', "device": "tablet", "ts": "1969-01-01"},
]


def samples(form: str, **changes: Any) -> SamplesSettings:
    return SamplesSettings.model_validate(
        {"format": form, "features": FEATURES, "label": "y", "weight": "w", "event_time": "ts", "key": "k", **changes}
    )


def with_age(form: str) -> list[dict[str, Any]]:
    """Return the records with an age, which is inside an object where the format has such."""
    return [{**record, **({"user.age": 40} if form == "csv" else {"user": {"age": 40}})} for record in RECORDS]


def trained(form: str) -> Any:
    """Return what training reads from the same records, which have labels, weights and keys there."""
    whole = [{**record, "y": 1, "w": 2, "k": "k"} for record in with_age(form)]
    batch: dict[str, Any] = {}
    values: list[Any] = whole
    if form == "json":
        values = [json.dumps(record).encode() for record in whole]
    elif form == "csv":
        names = list(dict.fromkeys(name for record in whole for name in record))
        text = io.StringIO()
        csv.DictWriter(text, names, lineterminator="\n").writerows(whole)
        values = [line.encode() for line in text.getvalue().splitlines()]
        batch["columns"] = tuple(names)
    settings = samples(form)
    ends = np.arange(1, len(values) + 1)
    block = SampleDecoder(settings, settings.spec("binary")).decode(RecordBatch("p", 0, ends, values, **batch))
    assert not block.rejections
    return features_of(block)


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_it_reads_what_training_reads(form: str) -> None:
    encoder = Encoder(samples(form), "binary")
    encoded = encoder(with_age(form))
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, trained(form))
    np.testing.assert_array_equal(encoder(with_age(form)[1]), encoded[1:2])
    if form == "csv":
        np.testing.assert_array_equal(Encoder(samples(form, quote="none"), "binary")(with_age(form)), encoded)
    assert encoder.columns == (
        "amount", "count", "member", "country", "device", "time.hour.sin", "time.hour.cos", "age",
    )  # fmt: skip


@pytest.mark.parametrize("form", ["avro", "tf_example"])
def test_a_decoded_message_needs_no_decoding(form: str, tmp_path: Path) -> None:
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "double"}]}
    (tmp_path / "r.avsc").write_text(json.dumps(schema))
    further = {"schema_file": tmp_path / "r.avsc"} if form == "avro" else {}
    settings = SamplesSettings.model_validate({"format": form, "features": {"a": "float"}, "label": "y", **further})
    assert Encoder(settings, "binary")({"a": 0.5}).tolist() == [[0.5]]


def test_csv_takes_text_and_numbers() -> None:
    settings = SamplesSettings.model_validate(
        {"format": "csv", "features": {"a": "float", "b": "boolean"}, "label": "y"}
    )
    encoder = Encoder(settings, "binary")
    assert (
        encoder([{"a": "0.5", "b": "yes"}, {"b": True, "a": 0.5}, {"a": np.float32(0.5), "b": np.True_}]).tolist()
        == [[0.5, 1]] * 3
    )


def test_numpy_and_extra_fields_are_taken_even_where_training_rejects_them() -> None:
    settings = SamplesSettings.model_validate(
        {"features": {"a": "float", "v": {"vector": 2}}, "label": "y", "extra_fields": "reject"}
    )
    record = {"a": np.float32(1.5), "v": np.array([1.0, 2.0]), "more": 1}
    assert Encoder(settings, "binary")(record).tolist() == [[1.5, 1, 2]]


def test_no_records_are_no_rows() -> None:
    assert Encoder(samples("json"), "binary")([]).shape == (0, 8)


def test_a_record_that_cannot_be_used_is_named() -> None:
    encoder = Encoder(samples("json"), "binary")
    with pytest.raises(DataError, match=r"record 1 of 2 cannot be encoded: .*amount.*\(missing\)"):
        encoder([with_age("json")[0], {"count": 1}])
    with pytest.raises(DataError, match=r"record 0 of 1 .*\(wrong_type\)"):
        encoder({**with_age("json")[0], "amount": "much"})
    with pytest.raises(DataError, match="record 0 cannot be encoded: there is no JSON for object"):
        encoder({**with_age("json")[0], "amount": object()})


def test_what_a_header_may_lack_is_the_label() -> None:
    assert missing_inputs(samples("csv"), [*RECORDS[0], "user.age"], "x.csv") == []
    (problem,) = missing_inputs(samples("csv"), list(RECORDS[0]), "x.csv")
    assert problem.startswith("samples.features.age: x.csv has no column 'user.age'")


def test_it_is_found_by_the_settings_or_by_the_state(tmp_path: Path) -> None:
    (tmp_path / "learnd.yaml").write_text(
        "source: {files: {path: s.jsonl}}\nsamples: {features: {a: float}, label: y}\n"
    )
    assert learnd.encoder(str(tmp_path / "learnd.yaml"))({"a": 2}).tolist() == [[2]]
    assert isinstance(learnd.encoder(tmp_path / "learnd.yaml"), learnd.Encoder)
    with pytest.raises(StoreError, match="no daemon has started there"):
        learnd.encoder(tmp_path)
    with pytest.raises(SettingsError, match="no such file"):
        learnd.encoder(tmp_path / "nowhere.yaml")


def test_it_needs_no_checkpoint_where_classes_are_learnt(tmp_path: Path) -> None:
    """One that is broken is as none: a run began, and was killed."""
    (tmp_path / "learnd.yaml").write_text(
        "model: {task: classes}\nsource: {files: {path: s.jsonl}}\n"
        f"checkpoint: {{dir: {tmp_path / 'state'}}}\n"
        "samples: {features: {a: float}, label: {field: y, classes: {max: 3}}}\n"
    )
    for folder in ("state", "state/checkpoints", "state/checkpoints/000001-broken"):
        encoder = learnd.encoder(tmp_path / "learnd.yaml")
        assert encoder({"a": 2}).tolist() == [[2]]
        assert encoder.classes == ()
        (tmp_path / folder).mkdir()
    assert learnd.encoder(tmp_path / "learnd.yaml").classes == ()
