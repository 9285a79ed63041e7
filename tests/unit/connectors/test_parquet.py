"""What other programs write into Parquet: times in nanoseconds, decimals, dictionaries, integers with nulls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blocks import features_of, labels_of

from learnd.connectors.files.settings import FilesSettings
from learnd.connectors.files.source import FilesSource
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import RecordBatch

ODD = 1_700_000_000_123_456_789  # nanoseconds that are no whole microsecond
MOMENT = dt.datetime(2023, 11, 14, 22, 13, 20, 123456, dt.UTC)


def batches(path: Path, settings: SamplesSettings) -> Iterator[RecordBatch]:
    source = FilesSource(FilesSettings(path=str(path)), settings.record_format())
    source.open({}, [])
    while not source.exhausted:
        if (batch := source.read(1.0)) is not None:
            yield batch
    source.close()


def settings_of(features: dict[str, Any], **changes: Any) -> SamplesSettings:
    return SamplesSettings.model_validate({"format": "parquet", "features": features, "label": "y", **changes})


def written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table({**columns, "y": [0, 1, 1]}), path)
    return path


def test_what_other_programs_write_becomes_numbers(tmp_path: Path) -> None:
    path = written(
        tmp_path / "data.parquet",
        at=pa.array([ODD, ODD, ODD], pa.timestamp("ns", "UTC")),
        inside=pa.array([{"at": ODD, "n": 1}] * 3, pa.struct({"at": pa.timestamp("ns"), "n": pa.int8()})),
        price=[Decimal("1.50"), None, Decimal("-2.25")],
        city=pa.array(["Graz", "Wien", None]).dictionary_encode(),
        count=pa.array([1, None, 3], pa.int64()),
        big=pa.array([2**53, 1, 2], pa.uint64()),
    )
    features = {
        "at": {"timestamp": ["minute"]},
        "inside.n": "float",
        "price": {"type": "float", "default": 0},
        "city": {"values": ["Graz", "Wien"], "default": "Wien"},
        "count": {"type": "integer", "default": 7},
        "big": "float",
    }
    settings = settings_of(features, event_time="inside.at")
    (batch,) = batches(path, settings)
    block = SampleDecoder(settings, settings.spec("binary")).decode(batch)
    assert not block.rejections
    assert features_of(block)[:, 2:].tolist() == [[1, 1.5, 1, 1, 2**53], [1, 0, 2, 7, 1], [1, -2.25, 2, 3, 2]]
    assert block.event_time_s is not None
    assert block.event_time_s.tolist() == [MOMENT.timestamp()] * 3
    assert labels_of(block)[:, 0].tolist() == [0, 1, 1]


def test_only_the_columns_that_are_used_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "data.parquet",
        **{"a.b": [1.0, 2.0, 3.0], "c": [{"d": 1, "e": 2}] * 3, "unused": pa.array([1001] * 3, pa.time64("ns"))},
    )
    features = {r"a\.b": "float", "c.d": "float"}
    (batch,) = batches(path, settings_of(features))
    assert batch.columns == ("a.b", "c", "unused", "y")
    assert batch.values[0] == {"a.b": 1.0, "c": {"d": 1, "e": 2}, "y": 0}
    settings = settings_of(features, extra_fields="reject")
    (batch,) = batches(path, settings)
    assert batch.values[0]["unused"] == dt.time(0, 0, 0, 1)
    block = SampleDecoder(settings, settings.spec("binary")).decode(batch)
    assert [rejection.defect.reason for rejection in block.rejections] == ["extra"] * 3


def test_a_file_without_any_of_the_columns_has_records_in_which_they_are_missing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"z": [1, 2]}), tmp_path / "data.parquet")
    settings = settings_of({"a": "float"})
    (batch,) = batches(tmp_path / "data.parquet", settings)
    block = SampleDecoder(settings, settings.spec("binary")).decode(batch)
    assert [rejection.defect.reason for rejection in block.rejections] == ["missing", "missing"]


@pytest.mark.parametrize("far", [2**62, -(2**62), 260_000_000_000_000_000])
def test_a_time_that_python_has_no_value_for_is_one_bad_record(tmp_path: Path, far: int) -> None:
    path = written(tmp_path / "data.parquet", at=pa.array([0, far, 1], pa.timestamp("us")))
    settings = settings_of({"at": {"timestamp": ["hour"]}})
    (batch,) = batches(path, settings)
    block = SampleDecoder(settings, settings.spec("binary")).decode(batch)
    assert [(r.start, r.defect.reason) for r in block.rejections] == [(1, "corrupt")]
    assert np.isfinite(features_of(block)).all()
