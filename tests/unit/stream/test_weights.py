"""Weights of samples that are computed from fields of their records."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.expressions import Expression, Operand
from learnd.daemon.stream.settings import SamplesSettings, WeightSettings
from learnd.daemon.values import Block, RecordBatch

RECORD: dict[str, Any] = {"a": 1.5, "y": 1, "n": 3, "z": 0, "country": "DE", "user": {"age": 40}, "click count": 7}


def decode(expression: str, *records: dict[str, Any], **changes: Any) -> Block:
    given = {"features": {"a": "float"}, "label": "y", "weight": {"expression": expression}, **changes}
    settings = SamplesSettings.model_validate(given)
    lines = [json.dumps(record).encode() for record in records or (RECORD,)]
    batch = RecordBatch("p", 0, np.arange(1, len(lines) + 1), lines)
    return SampleDecoder(settings, settings.spec("binary")).decode(batch)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0.1 * n + 1", 1.3),
        ("n", 3),
        ("2 ** n / 4 - -1", 3),
        ("+n * (n - 1)", 6),
        ("min(n, 2, user.age)", 2),
        ("max(z, n)", 3),
        ("abs(z - n)", 3),
        ("log(1 + user.age)", math.log(41)),
        ("where(n > 2, 5, 1)", 5),
        ('where(country == "DE", 2, 1)', 2),
        ('where("FR" == country, 2, 1)', 1),
        ('where(country != "FR" and n >= 3, 2, 1)', 2),
        ('(country == "DE") - (country == "FR")', 1),
        ('1 + (country == "FR" or not z)', 2),
        ("(1 < n <= 3) + (3 < n < 4)", 1),
        ('field("click count") * 2', 14),
        ('field("user.age")', 40),
        ("where(z > 0, log(z), 1)", 1),
        ("a", 1.5),  # a feature as well
    ],
)
def test_what_expressions_give(expression: str, expected: float) -> None:
    block = decode(expression)
    assert not block.rejections
    np.testing.assert_allclose(block.samples.weight, [expected], rtol=1e-6)
    assert block.samples.inputs["features"].tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("expression", "change", "reason", "words"),
    [
        ("n - 5", {}, "out_of_range", "samples.weight: n - 5 is -2, but a weight is a finite number of 0 or more"),
        ("1 / z", {}, "not_finite", "samples.weight: 1 / z is inf"),
        ("log(z - 1)", {}, "not_finite", "samples.weight: log(z - 1) is nan"),
        ("10 ** user.age", {}, "overflow", "is 1e+40"),
        ("n + 1", {"n": None}, "null", "n"),
        ("n + 1", {"n": "many"}, "wrong_type", "n: expected a number, got 'many'"),
        ("gone + 1", {}, "missing", "gone"),
        ('where(country == "DE", 2, 1)', {"country": None}, "null", "country"),
        ("n - 5", {"a": "text"}, "wrong_type", "a: expected a number"),
    ],
)
def test_what_is_no_weight_is_a_dead_letter(expression: str, change: dict[str, Any], reason: str, words: str) -> None:
    block = decode(expression, {**RECORD, **change}, {**RECORD, "n": 9, "gone": 1, "z": 3, "user": {"age": 1}})
    (rejection,) = block.rejections
    assert rejection.start == 0
    assert rejection.defect.reason == reason
    assert words in rejection.defect.detail
    assert len(block.samples) == 1


def test_in_csv_too() -> None:
    given = {"format": "csv", "features": {"a": "float"}, "label": "y", "event_time": {"field": "t", "unit": "s"}}
    settings = SamplesSettings.model_validate({**given, "weight": {"expression": 'n * (c == "x") + 1'}})
    rows = [b"1,0,2,x,5", b"1,1,3,y,6", b"1,1,,y,7"]
    batch = RecordBatch("p", 0, np.arange(1, 4), rows, ("a", "y", "n", "c", "t"))
    block = SampleDecoder(settings, settings.spec("binary")).decode(batch)
    assert block.samples.weight.tolist() == [3, 1]
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [5, 6]
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("n n", "is no expression: invalid syntax at character 3"),
        ("2 * 3", "names no field"),
        ("", "no expression"),
        ("__import__('os').system('ls')", "is not possible here"),
        ("open(n)", "'open(n)' at character 1 calls what is no function"),
        ("n + mim(n, 1)", "'mim(n, 1)' at character 5 calls what is no function: did you mean 'min'?"),
        ("log(n, 2)", "has 2 values, and log takes 1"),
        ("min(n)", "has 1 values, and min takes 2 or more"),
        ("n[0]", "'n[0]' at character 1 is not possible here"),
        ("n if z else 1", "is not possible here"),
        ("n if z else 1", "; to choose, write where(condition, value, other value)"),
        ("n = 1", "invalid syntax at character 3; to compare, write =="),
        ("n && z", "; write `and` between conditions"),
        ("!n", "; write `not` before a condition"),
        ("n ^ 2", "; for a power, write **"),
        ("lambda: n", "is not possible here"),
        ("n % 2", "is not possible here"),
        ("n is 1", "is compared in a way that is not possible"),
        ("country > 'DE'", "only a field can be, by == or !="),
        ("'DE' == 'DE'", "only a field can be, by == or !="),
        ("n + 'DE'", "is not possible here"),
        ("n * True", "is not possible here"),
        ("n * 1j", "is not possible here"),
        ("n * 1" + "0" * 400, "is too large"),
        ("n + 1" * 300, "more than 1000"),
        ("(" * 400 + "n" + ")" * 400, "no expression"),
        ("-" * 900 + "n", "nested too deep"),
        ("n" + " + n" * 200, "too many terms"),
        ("field('')", "calls what is no function"),
    ],
)
def test_what_is_no_expression_is_said_with_its_place(expression: str, words: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Expression(expression)
    assert words in str(error.value)


def test_the_settings_say_where(tmp_path: Path) -> None:
    path = tmp_path / "learnd.yaml"
    path.write_text(
        "source: {files: {path: x.jsonl}}\nsamples:\n  features: {a: float}\n  label: y\n"
        "  weight:\n    expression: open(a)\n"
    )
    with pytest.raises(SettingsError, match=r"(?s)6.*samples\.weight\.expression.*'open\(a\)' at character 1"):
        load_settings(path)


def test_the_fields_are_known_and_each_is_read_once() -> None:
    assert Expression('where(c == "x", n, 2 * n) + (c == "y")').operands == (
        Operand("c", "x"), Operand("n"), Operand("c", "y"),
    )  # fmt: skip
    given = {"features": {"a": "float"}, "label": "y", "weight": {"expression": 'n * (c == "x") * n + (c == "y")'}}
    named = [(key, field) for key, field, _ in SamplesSettings.model_validate(given).named_fields()]
    assert named[2:] == [("samples.weight.expression", "n"), ("samples.weight.expression", "c")]
    samples = SamplesSettings.model_validate(given)
    decoder = SampleDecoder(samples, samples.spec("binary"))
    (problem,) = decoder.missing_columns(["a", "y", "c"])
    assert problem.startswith("samples.weight.expression: the source has no column 'n'")


def test_an_expression_is_compiled_once() -> None:
    given = {"features": {"a": "float"}, "label": "y", "weight": {"expression": "0.125 * a + 1"}}
    one, again = (SamplesSettings.model_validate(given).weight for _ in range(2))
    assert isinstance(one, WeightSettings)
    assert isinstance(again, WeightSettings)
    assert one.compiled is again.compiled
    assert [operand.field for operand in one.compiled.operands] == ["a"]
