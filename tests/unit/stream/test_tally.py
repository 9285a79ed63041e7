"""How often each field was missing, or a record rejected for it: for those who look."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.decoding.tally import FieldTally
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
    for number, value in enumerate(values):
        decoder.decode(RecordBatch("p", number, np.array([number + 1]), [value]))
    assert decoder.tally.rejections() == {"a": 3, "y": 1}
    assert decoder.tally.missing_shares() == pytest.approx(
        {"b": 2 / decoder.tally.records, "c": 1 / decoder.tally.records}, abs=1e-4
    )
    assert 4 <= decoder.tally.records <= 7


def test_of_a_large_batch_every_eighth_record_is_looked_at() -> None:
    tally = FieldTally(["a"])
    for values in ([None, *[1.0] * 15], np.array([np.nan, *[1.0] * 15])):
        tally.add_records(16)
        tally.add_missing("a", values)
    assert (tally.records, tally.looked, tally.missing_shares()) == (32, 4, {"a": 0.5})
