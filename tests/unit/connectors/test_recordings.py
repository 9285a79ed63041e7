"""Recordings that are large, damaged, or of a registry that is away; what a topic gives is tested with a broker."""

from __future__ import annotations

import errno
import resource
import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import structlog

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.recordings.file_format import FORMATS, RecordingHeader, open_writer, read_recording
from learnd.connectors.recordings.settings import RecordingSettings
from learnd.connectors.recordings.source import RecordingSource
from learnd.daemon.values import RecordFormat

MIB = 1 << 20
JSON = RecordFormat("json")


def fetched(partition: str, first: int, values: list[bytes | None]) -> Fetched:
    offsets = np.arange(first, first + len(values))
    return Fetched(partition, offsets, values, [None] * len(values), None, offsets)


def recorded(path: Path, parts: list[Fetched]) -> Path:
    """Write a recording of partitions that all begin at 0."""
    names = {part.partition for part in parts}
    ends = {name: sum(len(part.offsets) for part in parts if part.partition == name) for name in names}
    file = open_writer(
        path, "".join(path.suffixes), RecordingHeader(topics={"t": "1"}, starts=dict.fromkeys(names, 0), ends=ends)
    )
    for part in parts:
        file.write(part)
    file.close()
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_large_records_are_read_some_at_a_time(tmp_path: Path, form: str) -> None:
    values: list[bytes | None] = [b"%d" % number + b"x" * MIB for number in range(40)]
    path = recorded(tmp_path / f"topic{form}", [fetched("t/0", 0, values)])
    parts = list(read_recording(path))
    assert [value for part in parts for value in part.values] == values
    assert max(len(part.values) for part in parts) <= 17
    if form == ".parquet":
        assert pq.ParquetFile(path).num_row_groups == 3


@pytest.mark.parametrize("most_waiting", [1, 30_000, 1 << 30])
def test_ranges_are_the_same_however_much_may_wait(tmp_path: Path, most_waiting: int) -> None:
    """The file holds the partitions one after the other; the journal needs them by turns."""
    names = ["t/0", "t/1", "t/2"]
    values: list[bytes | None] = [b"%d" % number for number in range(1000)]
    parts = [fetched(name, first, values[first : first + 10]) for name in names for first in range(0, 1000, 10)]
    path = recorded(tmp_path / "topic.jsonl", parts)
    source = RecordingSource(RecordingSettings(path=path), JSON, most_waiting=most_waiting)
    source.open({}, [])
    for start in range(0, 900, 45):
        for name in reversed(names):
            batches = list(source.read_range(name, start, start + 45))
            assert [value for batch in batches for value in batch.values] == values[start : start + 45]
    rest = []
    while (batch := source.read(0.1)) is not None:
        rest += batch.values
    assert rest == values[900:] * 3
    source.close()


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    first, last = fetched("t/0", 0, [b"%d" % n + b"x" * MIB for n in range(30)]), fetched("t/1", 0, [b"1"])
    path = recorded(tmp_path / "topic.jsonl", [first, last])
    source = RecordingSource(RecordingSettings(path=path), JSON, most_waiting=4 * MIB)
    source.open({}, [])
    tracemalloc.start()
    try:
        (batch,) = source.read_range("t/1", 0, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch.values == [b"1"]
    assert peak < 15 * MIB
    source.close()


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path, form: str) -> None:
    noise = np.random.default_rng(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    values: list[bytes | None] = [noise.bytes(MIB) for _ in range(20)]
    file = open_writer(tmp_path / f"topic{form}", form, RecordingHeader(topics={}, starts={}, ends={}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
    try:
        with pytest.raises(OSError, match=r".") as caught:
            file.write(fetched("t/0", 0, values))
        with suppress(OSError):
            file.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno in {errno.EFBIG, None}


def test_a_registry_that_is_away_is_told_once_and_waited_for(tmp_path: Path) -> None:
    path = recorded(tmp_path / "topic.jsonl", [fetched("t/0", 0, [b"\0\0\0\0\1\2"])])
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        registry = {"url": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        settings = RecordingSettings.model_validate({"path": path, "registry": registry})
        source = RecordingSource(settings, RecordFormat("avro"))
        source.open({}, [])
        assert source.connected
        with structlog.testing.capture_logs() as logs:
            assert [source.read(0.01) for _ in range(3)] == [None] * 3
    assert not source.connected
    assert not source.exhausted
    assert [line["event"] for line in logs] == ["registry.away"]
    source.close()
