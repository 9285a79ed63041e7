"""A label that is the key of its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import labels_of

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Block, RecordBatch


def decode(
    label: dict[str, Any],
    task: str,
    keys: list[bytes | None] | None,
    values: list[bytes] | None = None,
    header: tuple[str, ...] | None = None,
    **changes: Any,
) -> Block:
    given = {"features": {"a": "float"}, "label": {"from": "key", **label}, **changes}
    samples = SamplesSettings.model_validate(given)
    values = values or [b'{"a": 1.5}'] * len(keys or [])
    batch = RecordBatch("t/0", 0, np.arange(1, len(values) + 1), values, header, keys=keys)
    return SampleDecoder(samples, samples.spec(task)).decode(batch)


@pytest.mark.parametrize(
    ("label", "task", "keys", "expected"),
    [
        ({}, "binary", [b"yes", b"0", b"true"], [[1], [0], [1]]),
        ({"positive": "ja"}, "binary", [b"ja", b"nein"], [[1], [0]]),
        ({"values": ["no", "yes"]}, "binary", [b"yes", b"no"], [[1], [0]]),
        ({"classes": ["cat", "dog"]}, "classes", [b"dog", b"cat"], [[1], [0]]),
        ({"classes": 3}, "classes", [b"2", b"0"], [[2], [0]]),
        ({"classes": {"max": 3}}, "classes", [b"dog", b"cat", b"dog"], [[0], [1], [0]]),
        ({}, "regression", [b"1.5", b"-2e3"], [[1.5], [-2000]]),
        ({"size": 2}, "regression", [b"[1, 2]", b"3 4"], [[1, 2], [3, 4]]),
    ],
)
def test_the_key_is_read_as_a_text(label: Any, task: str, keys: Any, expected: Any) -> None:
    block = decode(label, task, keys)
    assert not block.rejections
    assert labels_of(block).tolist() == expected
    assert block.samples.inputs["features"].tolist() == [[1.5]] * len(keys)


@pytest.mark.parametrize(
    ("key", "reason", "words"),
    [
        (None, "missing", "the record's key: missing, but the label is read from it"),
        (b"", "missing", "the record's key: missing"),
        (b"\xff\x00", "bad_encoding", "the record's key: not UTF-8 at byte 0"),
        (b"fox", "unknown_label", "the record's key: 'fox' is not one of cat, dog"),
    ],
)
def test_without_a_usable_key_it_is_a_dead_letter(key: bytes | None, reason: str, words: str) -> None:
    block = decode({"classes": ["cat", "dog"]}, "classes", [b"dog", key, b"cat"])
    (rejection,) = block.rejections
    assert (rejection.start, rejection.defect.reason) == (1, reason)
    assert words in rejection.defect.detail
    assert labels_of(block).tolist() == [[1], [0]]


def test_a_broken_value_beside_keys_keeps_the_others_in_step() -> None:
    values = [b'{"a": 1}', b"not json", b'{"a": "text"}', b'{"a": 4}']
    block = decode({}, "regression", [b"1", b"2", b"3", b"4"], values)
    assert [rejection.defect.reason for rejection in block.rejections] == ["bad_json", "wrong_type"]
    assert labels_of(block).tolist() == [[1], [4]]


def test_no_number_in_a_key_is_said() -> None:
    block = decode({}, "regression", [b"many", b"NA"])
    assert [rejection.defect.reason for rejection in block.rejections] == ["wrong_type", "missing"]


def test_without_any_keys_all_are_dead_letters() -> None:
    block = decode({}, "binary", None, [b'{"a": 1}'] * 2)
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing"] * 2


def test_of_csv_messages_too() -> None:
    block = decode({}, "binary", [b"no", b"yes"], [b"1.5", b"2.5"], ("a",), format="csv", columns=["a"])
    assert block.samples.inputs["features"].tolist() == [[1.5], [2.5]]
    assert labels_of(block).tolist() == [[0], [1]]


SETTINGS = """
model: {{task: {task}}}
source: {{{source}}}
samples:
  features: {{a: float}}
  label: {label}
"""


@pytest.mark.parametrize(
    ("source", "task", "label", "words"),
    [
        ("kafka: {topic: t}", "binary", "{from: key}", ""),
        ("kafka: {topic: t}", "classes", "{from: key, classes: {max: 9}}", ""),
        ("files: {path: x.jsonl}", "binary", "{from: key}", "samples.label.from: records of source.files have no key"),
        ("kafka: {topic: t}", "binary", "{from: key, field: y}", "the whole key is the label; leave field out"),
        ("kafka: {topic: t}", "multi_label", "{from: key, labels: [c, d]}", "a key holds no list of labels"),
        ("kafka: {topic: t}", "binary", "{from: headers}", "value"),
        ("kafka: {topic: t}", "binary", "{values: [a, b]}", "samples.label.field is missing"),
    ],
)
def test_what_the_settings_take(tmp_path: Path, source: str, task: str, label: str, words: str) -> None:
    path = tmp_path / "learnd.yaml"
    path.write_text(SETTINGS.format(source=source, task=task, label=label))
    if not words:
        assert load_settings(path).samples.label.is_key
        return
    with pytest.raises(SettingsError) as error:
        load_settings(path)
    assert words in str(error.value)
