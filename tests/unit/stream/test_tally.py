"""How often each field was missing, or a record rejected for it: for those who look."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import RecordBatch

RECORDS: list[dict[str, Any]] = [
    {"a": 1.0, "b": 2.0, "c": "x", "y": 1},
    {"a": 1.0, "b": None, "c": None, "y": 1},  # defaults
    {"a": 1.0, "c": "x", "y": 0},  # a default
    {"a": None, "b": 2.0, "c": "x", "y": 1},
    {"a": "text", "b": 2.0, "c": "x", "y": 1},
    {"b": 2.0, "c": "x", "y": 1},
    {"a": 1.0, "b": 2.0, "c": "x", "y": 7},  # no label
]


@pytest.mark.parametrize("columnar", [False, True])
def test_each_field_has_its_counts(columnar: bool) -> None:
    features = {"a": "float", "b": {"type": "float", "default": 0}, "c": {"hash": 9, "default": "none"}}
    given = {"features": features, "label": "y", **({"format": "parquet"} if columnar else {})}
    settings = SamplesSettings.model_validate(given)
    decoder = SampleDecoder(settings, settings.spec("binary"))
    values: Any = RECORDS if columnar else [json.dumps(record).encode() for record in RECORDS]
    for _ in range(2):
        decoder.decode(RecordBatch("p", 0, np.arange(1, len(values) + 1), values))
    tally = decoder.tally
    assert {name: count for name, count in tally.missing.items() if count} == {"b": 4, "c": 2}
    assert {name: count for name, count in tally.rejected.items() if count} == {"a": 6, "y": 2}
    assert 8 <= tally.records <= 14
