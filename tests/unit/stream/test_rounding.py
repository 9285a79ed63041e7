"""Numbers that 32-bit floats cannot tell apart are told of, once."""

from __future__ import annotations

import json

import numpy as np
import pytest

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.rounding import lossy_step
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Float64, RecordBatch


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (1.7e9 + np.arange(300.0), 128),
        (1.7e9 + 3600 * np.arange(300.0), None),
        (101_325 + 50 * np.sin(np.arange(300.0)), None),
        (1e-9 * np.arange(300.0), None),
        (np.full(300, 1.7e9 + 1), None),
        (np.full(300, 0.1), None),
        (np.array([1e39, 1.0]), None),
    ],
)
def test_what_is_lost_is_judged_by_what_the_values_differ_by(values: Float64, step: float | None) -> None:
    assert lossy_step(values) == step


def test_a_column_is_told_once_however_its_rows_come() -> None:
    settings = SamplesSettings.model_validate({"features": {"ok": "float", "at": "float"}, "label": "y"})
    values = [json.dumps({"ok": n, "at": 1_700_000_000 + n, "y": n % 2}).encode() for n in range(600)]
    for size in (7, 199, 600):
        told: list[str] = []
        decoder = SampleDecoder(settings, settings.spec("binary"), tell=told.append)
        for start in range(0, 600, size):
            part = values[start : start + size]
            decoder.decode(RecordBatch("p", start, np.arange(start + 1, start + 1 + len(part)), part))
        assert [text.partition(":")[0] for text in told] == ["at"]
        assert "in steps of 128" in told[0]


def test_a_column_that_tells_the_time_is_not_told_of() -> None:
    settings = SamplesSettings.model_validate({"features": {"ts": {"timestamp": ["hour", "weekday"]}}, "label": "y"})
    values = [json.dumps({"ts": 1_700_000_000 + 1e-3 * n, "y": n % 2}).encode() for n in range(300)]
    told: list[str] = []
    decoder = SampleDecoder(settings, settings.spec("binary"), tell=told.append)
    decoder.decode(RecordBatch("p", 0, np.arange(1, 301), values))
    assert told == []
