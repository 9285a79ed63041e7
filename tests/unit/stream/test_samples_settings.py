from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Column, ColumnKind, RecordFormat

NUMBER, CATEGORY = ColumnKind.NUMBER, ColumnKind.CATEGORY


def samples(label: Any = "y", **changes: Any) -> SamplesSettings:
    return SamplesSettings.model_validate({"features": {"a": "float"}, "label": label, **changes})


def test_columns_come_in_the_order_of_the_features() -> None:
    features = {
        "z": "integer",
        "c": {"hash": 10},
        "o": {"values": ["x", "y"]},
        "s": {"values": ["x", "y"], "unknown": "reject"},
        "v": {"vector": 2},
        "t": {"timestamp": ["hour"]},
        "a": "boolean",
    }
    spec = samples(features=features).spec("binary")
    assert spec.columns == (
        Column("z", NUMBER),
        Column("c", CATEGORY, 10),
        Column("o", CATEGORY, 3, ("x", "y")),
        Column("s", CATEGORY, 2, ("x", "y")),
        Column("v.0", NUMBER),
        Column("v.1", NUMBER),
        Column("t.hour.sin", NUMBER, clock=True),
        Column("t.hour.cos", NUMBER, clock=True),
        Column("a", NUMBER, two_values=True),
    )


@pytest.mark.parametrize(
    ("task", "label", "outputs", "columns", "names"),
    [
        ("binary", "y", 1, 1, ("0", "1")),
        ("binary", {"field": "y", "values": ["no", "yes"]}, 1, 1, ("no", "yes")),
        ("classes", {"field": "y", "classes": 3}, 3, 1, ("0", "1", "2")),
        ("classes", {"field": "y", "classes": ["a", "b"]}, 2, 1, ("a", "b")),
        ("regression", "y", 1, 1, ()),
        ("regression", {"field": "y", "size": 4}, 4, 4, ()),
        ("multi_label", {"field": "y", "labels": ["p", "q"]}, 2, 2, ("p", "q")),
        ("multi_label", {"labels": ["p", "q", "r"]}, 3, 3, ("p", "q", "r")),
    ],
)
def test_the_task_follows_from_the_label(
    task: str, label: Any, outputs: int, columns: int, names: tuple[str, ...]
) -> None:
    found = samples(label).spec(task).task
    assert (found.kind, found.outputs, found.label_columns, found.names) == (task, outputs, columns, names)


@pytest.mark.parametrize(
    ("task", "label", "problem"),
    [
        ("classes", "y", "samples.label.classes is missing"),
        ("multi_label", "y", "samples.label.labels is missing"),
        ("binary", {"field": "y", "classes": 3}, "samples.label.classes is for the task classes"),
        ("regression", {"field": "y", "values": [0, 1]}, "samples.label.values is for the task binary"),
        ("binary", {"values": [0, 1]}, "samples.label.field is missing"),
    ],
)
def test_a_label_that_does_not_fit_the_task(task: str, label: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        samples(label).spec(task)


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        samples({"values": [0, 1]}, features={"v": {"vector": 2}, "v.1": "float"}).spec("classes")
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        ("floot", "'float', 'integer' or 'boolean'"),
        ({"hash": 10, "vector": 2}, "exactly one of"),
        ({"field": "x"}, "exactly one of"),
        ({"hash": 1}, "greater than or equal to 2"),
        ({"hash": 2**24 + 1}, "less than or equal to 16777216"),
        ({"type": "float", "unit": "s"}, "unit: only with timestamp"),
        ({"hash": 10, "unknown": "reject"}, "unknown: only with values"),
        ({"values": ["a", "a"]}, "each value once"),
        ({"type": "float", "default": "none"}, "default: 'none'"),
        ({"type": "float", "default": float("nan")}, "finite number"),
        ({"type": "float", "default": 1e39}, "default: 1e"),
        ({"type": "integer", "default": 0.5}, "default: 0.5"),
        ({"type": "boolean", "default": 2}, "default: 2"),
        ({"vector": 2, "default": [1.0]}, "default:"),
        ({"timestamp": ["hour"], "default": 0}, "default: 0"),
        ({"values": ["a"], "unknown": "reject", "default": "b"}, "default: 'b'"),
    ],
)
def test_a_feature_that_cannot_be(feature: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        samples(features={"a": feature})


@pytest.mark.parametrize("changes", [{"delimiter": ";;"}, {"delimiter": '"'}, {"features": {}}, {"key": ""}])
def test_settings_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        samples(**changes)


@pytest.mark.parametrize(
    "features",
    [{"user": "float", "user.age": "float"}, {'a"b': "float"}, {"a..b": "float"}],
    ids=["a value and an object", "a quote", "an empty step"],
)
def test_fields_that_cannot_be_read_together(features: dict[str, str]) -> None:
    settings = samples(features=features)
    with pytest.raises(SettingsError, match="samples"):
        SampleDecoder(settings, settings.spec("binary"))


def test_the_format_of_records() -> None:
    assert samples(format="csv", delimiter=";").record_format() == RecordFormat("csv", ";")
    used = samples(format="parquet", features={"a.b": "float", "c": "float"}, key="k").record_format().fields
    assert used == {"a", "c", "k", "y"}
    assert samples(format="parquet", extra_fields="reject").record_format().fields is None


def test_shorthands_are_in_the_schema() -> None:
    schema = SamplesSettings.model_json_schema()
    forms = schema["properties"]["features"]["additionalProperties"]["anyOf"]
    assert {"enum": ["float", "integer", "boolean"], "type": "string"} in forms


@pytest.mark.parametrize(
    ("name", "form", "delimiter"),
    [("jsonl", "json", ","), ("ndjson", "json", ","), ("json", "json", ","), ("tsv", "csv", "\t"), ("csv", "csv", ",")],
)
def test_a_format_goes_by_the_names_that_people_type(name: str, form: str, delimiter: str) -> None:
    found = samples(format=name).record_format()
    assert (found.name, found.delimiter) == (form, delimiter)


@pytest.mark.parametrize("given", ["'text'", "{type: datetime}"])
def test_a_type_that_other_tools_have_is_answered_with_what_there_is(tmp_path: Path, given: str) -> None:
    path = tmp_path / "learnd.yaml"
    path.write_text(f"source: {{files: {{path: a.csv}}}}\nsamples:\n  features: {{x: {given}}}\n  label: y\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(path)
    (problem,) = refused.value.problems
    assert problem.startswith(f"{path}:3: samples.features.x")
    for way in ("float or integer or boolean", "{values: [a, b]}", "{hash: 1000}", "{timestamp: [hour, weekday]}"):
        assert way in problem
