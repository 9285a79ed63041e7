"""Declared fields that the source does not have are named, with what may have been meant."""

from __future__ import annotations

from typing import Any

import pytest

from learnd.daemon.stream.decoding.declared import missing_columns, missing_fields
from learnd.daemon.stream.settings import SamplesSettings


def samples(form: str, **changes: Any) -> SamplesSettings:
    given = {"features": {"temp": "float"}, "label": "failed", "format": form, **changes}
    return SamplesSettings.model_validate(given)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("changes", "key", "field"),
    [
        ({"features": {"tmp": "float"}}, "samples.features.tmp", "tmp"),
        ({"features": {"t": {"type": "float", "field": "Tempp"}}}, "samples.features.t", "Tempp"),
        ({"label": "faild"}, "samples.label", "faild"),
        ({"label": {"labels": ["failed", "brokn"]}}, "samples.label.labels", "brokn"),
        ({"weight": "wheight"}, "samples.weight", "wheight"),
        ({"key": "machin"}, "samples.key", "machin"),
        ({"event_time": "tss"}, "samples.event_time", "tss"),
    ],
)
def test_each_declared_column_has_to_be_there(form: str, changes: dict[str, Any], key: str, field: str) -> None:
    columns = ["temp", "failed", "broken", "weight", "machine", "ts"]
    (problem,) = missing_columns(samples(form, **changes), columns, "data.csv")
    meant = {"tmp": "temp", "Tempp": "temp", "brokn": "broken", "wheight": "weight", "machin": "machine", "tss": "ts"}
    assert problem == (
        f"{key}: data.csv has no column {field!r}: did you mean {meant.get(field, 'failed')!r}? "
        "There are temp, failed, broken, weight, machine, ts"
    )


def test_a_feature_with_a_default_may_lack() -> None:
    settings = samples("csv", features={"temp": "float", "age": {"type": "float", "default": 0}})
    assert missing_columns(settings, ["temp", "failed"], "data.csv") == []


def test_the_suggestion_is_the_name_as_it_is_written_there() -> None:
    (problem,) = missing_columns(samples("csv", label="failure"), ["temp", "Machine failure"], "data.csv")
    assert "did you mean 'Machine failure'?" in problem


def test_a_long_list_of_columns_is_cut_off_and_shows_it() -> None:
    (problem,) = missing_columns(samples("csv"), ["temp", *(f"c{i}" for i in range(30))], "data.csv")
    assert problem.endswith("c18, …")


def test_fields_inside_of_objects() -> None:
    settings = samples("json", features={"user.age": "float"})
    assert missing_fields(settings, b'{"user": {"age": 1}, "failed": 1}', "the source") == []
    (problem,) = missing_fields(settings, b'{"user": {"aged": 1}, "failed": 1}', "the source")
    assert "the source has no field 'user.age': did you mean 'user.aged'? There are user.aged, failed" in problem


@pytest.mark.parametrize("record", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_what_is_no_object_tells_nothing(record: bytes) -> None:
    assert missing_fields(samples("json"), record, "the source") == []
