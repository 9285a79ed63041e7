"""Labels that are tensors, one-hot vectors or inputs: what is made of a record, and what is wrong with one."""

import json
from typing import Any

import numpy as np
import pytest
from blocks import labels_of
from pydantic import ValidationError

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import LABEL, Block, RecordBatch, Task

FORECAST = {"field": "y", "shape": [2, 3]}
TAGS = {"field": "y", "shape": [4], "classes": ["noun", "verb", "other"]}
MASK = {"field": "y", "shape": [2, 2, 1]}


def samples(label: dict[str, Any], **more: Any) -> SamplesSettings:
    return SamplesSettings.model_validate({"features": {"a": "float"}, "label": label, **more})


def decoded(task: str, settings: SamplesSettings, *values: bytes, columns: Any = None) -> Block:
    batch = RecordBatch("p", 0, np.arange(1, len(values) + 1), list(values), columns=columns)
    return SampleDecoder(settings, settings.spec(task)).decode(batch)


def of_json(task: str, label: dict[str, Any], *values: Any) -> Block:
    return decoded(task, samples(label), *(json.dumps({"a": 1, "y": value}).encode() for value in values))


@pytest.mark.parametrize(
    ("task", "label", "values", "expected"),
    [
        ("regression", FORECAST, [[[1, 2, 3], [4, 5, 6.5]], [1, 2, 3, 4, 5, 6.5]], [[1, 2, 3], [4, 5, 6.5]]),
        ("regression", {"field": "y", "shape": [1]}, [[7], [7.0]], [7]),
        ("regression", {"field": "y", "shape": [3, 1]}, [[[1], [2], [3]], [1, 2, 3]], [[1], [2], [3]]),
        ("classes", TAGS, [["noun", "verb", "noun", "other"]], [0, 1, 0, 2]),
        ("classes", {**TAGS, "classes": 3}, [[2, 0, 1, 1], [2.0, 0, "1", 1]], [2, 0, 1, 1]),
        ("classes", {**TAGS, "one_hot": True}, [[[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]], [0, 2, 1, 0]),
        ("binary", MASK, [[[[0], [1]], [[1], [0]]], [False, True, True, False], [0, "1", "yes", 0]], [0, 1, 1, 0]),
        ("binary", {**MASK, "positive": 7}, [[[[3], [7]], [[7], [5]]]], [0, 1, 1, 0]),
        ("binary", {**MASK, "values": ["sky", "roof"]}, [["sky", "roof", "roof", "sky"]], [0, 1, 1, 0]),
    ],
)
def test_nested_lists_or_a_list_of_all_elements_is_a_tensor(
    task: str, label: dict[str, Any], values: list[Any], expected: list[Any]
) -> None:
    block = of_json(task, label, *values)
    assert [rejection.defect.detail for rejection in block.rejections] == []
    shape = tuple(label["shape"])
    assert block.samples.targets[LABEL].shape == (len(values), *shape)
    for found in labels_of(block):
        np.testing.assert_array_equal(found, np.reshape(expected, shape))


def test_cells_of_csv_hold_json_or_words() -> None:
    settings = samples(TAGS, format="csv")
    rows = [b'1,"[""noun"", ""verb"", ""noun"", ""other""]"', b"1,noun verb noun other"]
    block = decoded("classes", settings, *rows, columns=["a", "y"])
    assert labels_of(block).tolist() == [[0, 1, 0, 2]] * 2
    numbers = samples(FORECAST, format="csv", decimal=",", delimiter=";")
    block = decoded("regression", numbers, b"1;1 2 3 4 5 6,5", columns=["a", "y"])
    assert labels_of(block).tolist() == [[[1, 2, 3], [4, 5, 6.5]]]


def test_a_one_hot_vector_is_the_index_of_a_class() -> None:
    label = {"field": "y", "classes": ["low", "middle", "high"], "one_hot": True}
    block = of_json("classes", label, [0, 0, 1], [1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0.5, 0.5], [1, 0], "low")
    assert labels_of(block).tolist() == [[2], [0]]
    assert [(found.defect.reason, found.defect.detail) for found in block.rejections] == [
        ("unknown_label", "y: expected zeros and exactly one 1, got [0.0, 1.0, 1.0]"),
        ("unknown_label", "y: expected zeros and exactly one 1, got [0.0, 0.0, 0.0]"),
        ("unknown_label", "y: expected zeros and exactly one 1, got [0.0, 0.5, 0.5]"),
        ("wrong_length", "y: expected 3 numbers, got 2"),
        ("wrong_type", "Expected `array`, got `str` - at `$.y`"),
    ]
    assert samples(label).class_of("high", "classes") == 2


@pytest.mark.parametrize(
    ("task", "label", "value", "reason", "told"),
    [
        ("regression", FORECAST, None, "null", "y: expected a tensor of shape [2, 3], got null"),
        ("regression", FORECAST, 7, "wrong_type", "y: expected a tensor of shape [2, 3], got 7"),
        ("regression", FORECAST, [1, 2], "wrong_length", "y: expected a tensor of shape [2, 3], got one of shape [2]"),
        ("regression", FORECAST, [[1, 2]] * 3, "wrong_length",
         "y: expected a tensor of shape [2, 3], got one of shape [3, 2]"),
        ("regression", FORECAST, [[1, 2, 3], [4]], "wrong_length",
         "y: expected a tensor of shape [2, 3], got lists of different lengths, the first of which is [1, 2, 3]"),
        ("regression", FORECAST, [[1, 2, 3], [4, "x", 6]], "wrong_type", "y[1][1]: expected a number, got 'x'"),
        ("regression", FORECAST, [[1, 2, 3], [4, 5, 1e60]], "overflow",
         "y[1][2]: 1e+60 is too large for a 32-bit float"),
        ("classes", TAGS, ["noun", "verb", "word", "verb"], "unknown_label",
         "y[2]: 'word' is not one of noun, verb, other"),
        ("binary", MASK, [0, 1, 2, 0], "unknown_label",
         "y[1][0][0]: 2 is not one of 0, false, f, no, n, off, 1, true, t, yes, …"),
    ],
)  # fmt: skip
def test_what_is_no_label_is_told_with_its_place(
    task: str, label: dict[str, Any], value: Any, reason: str, told: str
) -> None:
    block = of_json(task, label, value)
    assert [(found.defect.reason, found.defect.detail) for found in block.rejections] == [(reason, told)]
    assert len(block.samples) == 0


def test_an_input_is_the_label_and_needs_no_field() -> None:
    features = {"a": "float", "pixels": {"vector": 4}}
    given = {"features": features, "inputs": {"picture": {"features": ["pixels", "a"], "shape": [5, 1]}}}
    settings = SamplesSettings.model_validate({**given, "label": {"from": "inputs"}})
    spec = settings.spec("regression")
    assert spec.targets[0].of_input == "picture"
    assert spec.task == Task("regression", 1, 1, shape=(5, 1))
    block = decoded("regression", settings, b'{"a": 7, "pixels": [0, 1, 2, 3]}', b'{"a": 7}')
    np.testing.assert_array_equal(block.samples.inputs["picture"], [[[0], [1], [2], [3], [7]]])
    np.testing.assert_array_equal(labels_of(block), block.samples.inputs["picture"])
    assert [found.defect.reason for found in block.rejections] == ["missing"]


def test_one_of_several_inputs_is_named() -> None:
    given: dict[str, Any] = {"features": {"a": "float", "b": "float"}, "inputs": {"one": ["a"], "other": ["b"]}}
    labels = {"back": {"task": "regression", "from": "inputs", "input": "other"}, "y": "y"}
    spec = SamplesSettings.model_validate({**given, "labels": labels}).spec("binary")
    assert [(target.of_input, target.columns) for target in spec.targets] == [("other", 0), (None, 1)]
    for wrong, told in (({}, "say which of them"), ({"input": "third"}, "'third' is none of them")):
        labels["back"] = {"task": "regression", "from": "inputs", **wrong}
        with pytest.raises(SettingsError, match=rf"labels.back.input: there are the inputs one, other; {told}"):
            SamplesSettings.model_validate({**given, "labels": labels}).spec("binary")


@pytest.mark.parametrize(
    ("task", "label", "told"),
    [
        ("regression", {"from": "inputs", "shape": [3]}, "label.from: inputs have a shape"),
        ("regression", {"field": "y", "input": "features"}, "label.input: it names the input that is the label"),
        ("regression", {"field": "y", "shape": [2, 2], "size": 3}, "label.size: the shape says how many"),
        ("binary", {"from": "inputs"}, "label.from: inputs are numbers for a model .*, but the task is binary"),
        ("multi_label", {"field": "y", "labels": ["a"], "shape": [2]}, "label.shape is for the task"),
        ("classes", {"field": "y", "classes": {"max": 3}, "shape": [2]}, "label.shape: classes that are learnt"),
        ("classes", {"from": "key", "classes": 3, "one_hot": True}, "label.one_hot: a key holds no list"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_label_is_told(task: str, label: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        samples(label).spec(task)


def test_a_category_is_not_given_back() -> None:
    settings = samples({"from": "inputs"}, features={"a": "float", "c": {"hash": 10}})
    with pytest.raises(SettingsError, match="'c' is a category"):
        settings.spec("regression")


def test_a_field_and_inputs_are_too_much() -> None:
    with pytest.raises(ValidationError, match="the inputs are the label; leave field out"):
        samples({"field": "y", "from": "inputs"})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": {"task": "regression"}}, r"labels of shape \(2, 3\) take a model .* give model.build or load"),
        ({"certainty": {"coverage": 0.9}}, "certainty.coverage: .* model.task is regression of labels with a shape"),
        ({"drift": [{"watch": "error", "detector": "ddm"}]}, "errors of a regression task with a shape are not 0 or 1"),
        ({"train": {"class_weight": "balanced"}}, "a regression task with a shape has no classes to weigh"),
    ],
)
def test_what_is_of_one_value_does_not_go_with_tensors(changes: dict[str, Any], told: str) -> None:
    given = {
        "model": {"task": "regression", "build": "models:build"},
        "source": {"files": {"path": "a.jsonl"}},
        "samples": {"features": {"a": "float"}, "label": FORECAST},
    }
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({**given, **changes})
