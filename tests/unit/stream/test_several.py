"""Several inputs and labels under `samples`: what they make of a record, and what is wrong with them."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.encoding import Encoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import RecordBatch

GIVEN: dict[str, Any] = {
    "features": {"a": "float", "pixels": {"vector": 6}, "b": "float"},
    "inputs": {"picture": {"features": ["pixels"], "shape": [2, 3, 1]}, "numbers": ["b", "a"]},
    "labels": {
        "clicked": "clicked",
        "price": {"task": "regression", "field": "price", "size": 2, "loss_weight": 0.25},
        "kind": {"task": "classes", "field": "kind", "classes": ["x", "y"]},
    },
}
RECORD = b'{"a": 1, "b": 2, "pixels": [0, 1, 2, 3, 4, 5], "clicked": true, "price": [7, 8], "kind": "y"}'


def samples(**changes: Any) -> SamplesSettings:
    given = {name: value for name, value in {**GIVEN, **changes}.items() if value is not None}
    return SamplesSettings.model_validate(given)


def test_a_record_fills_the_inputs_and_the_targets_by_name() -> None:
    settings = samples()
    spec = settings.spec("binary")
    assert [(one.name, one.shape) for one in spec.inputs] == [("picture", (2, 3, 1)), ("numbers", (2,))]
    assert [column.name for column in spec.inputs[1].columns] == ["b", "a"]
    assert [(one.name, one.task.kind, one.loss_weight) for one in spec.targets] == [
        ("clicked", "binary", 1.0),
        ("price", "regression", 0.25),
        ("kind", "classes", 1.0),
    ]
    block = SampleDecoder(settings, spec).decode(RecordBatch("p", 0, np.array([1, 2]), [RECORD, b'{"a": 1}']))
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing"]
    found = block.samples
    np.testing.assert_array_equal(found.inputs["picture"], np.arange(6).reshape(1, 2, 3, 1))
    np.testing.assert_array_equal(found.inputs["numbers"], [[2, 1]])
    assert {name: array.tolist() for name, array in found.targets.items()} == {
        "clicked": [[1]],
        "price": [[7, 8]],
        "kind": [[1]],
    }
    np.testing.assert_array_equal(spec.matrix(found.inputs), [[0, 1, 2, 3, 4, 5, 2, 1]])


def test_an_encoder_gives_each_input_by_name() -> None:
    encode = Encoder(samples(), "binary")
    given = encode({"a": 1, "b": 2, "pixels": [0, 1, 2, 3, 4, 5]})
    assert isinstance(given, dict)
    assert {name: array.shape for name, array in given.items()} == {"picture": (1, 2, 3, 1), "numbers": (1, 2)}
    assert encode([])["picture"].shape == (0, 2, 3, 1)  # type: ignore[call-overload]  # as many as there are inputs
    alone = samples(inputs={"picture": {"features": ["pixels", "a", "b"], "shape": [2, 4]}}, labels=None, label="y")
    assert Encoder(alone, "binary")({"a": 1, "b": 2, "pixels": [0] * 6}).shape == (1, 2, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": {"x": ["a", "pixels"]}}, "inputs: the feature 'b' is in none of them"),
        ({"inputs": {"x": ["a", "pixels"], "y": ["a", "b"]}}, "inputs: the feature 'a' is listed twice"),
        ({"inputs": {"x": ["a", "pixels", "b", "c"]}}, "inputs: 'c' is not under features"),
        ({"label": "y"}, "label: say what the model learns"),
        ({"labels": None}, "label: say what the model learns"),
        ({"labels": {"one": "a", "two": "y"}}, "features.a: 'a' is the label as well"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        samples(**changes)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": {"x": {"features": ["a", "b", "pixels"], "shape": [3, 3]}}}, r"samples.inputs.x.shape: .* 9 .* 8"),
        (
            {"labels": {"one": "y", "two": {"task": "classes", "field": "z", "classes": {"max": 3}}}},
            "only a single `label` can learn its classes",
        ),
        (
            {"labels": {"one": "y", "two": {"task": "classes", "field": "z"}}},
            r"labels\.two\.classes is missing",
        ),
    ],
)
def test_what_does_not_fit_the_task_is_said(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        samples(**changes).spec("binary")
