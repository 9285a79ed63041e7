from __future__ import annotations

from pathlib import Path

import numpy as np
from source_streams.stream import JSON, N, Stream

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.recordings.file_format import RecordingHeader, open_writer
from learnd.connectors.recordings.settings import RecordingSettings
from learnd.connectors.recordings.source import RecordingSource


def packed_lines(root: Path, name: str = "topic.jsonl.zst") -> Stream:
    """Only every other offset has a record."""
    header = RecordingHeader(topics={"t": "id"}, starts={"t/0": 0}, ends={"t/0": 2 * N})
    file = open_writer(root / name, name.removeprefix("topic"), header)
    for first in range(0, N, 700):
        ids = np.arange(first, min(first + 700, N))
        values: list[bytes | None] = [b'{"id": %d}' % i for i in ids]
        file.write(Fetched("t/0", 2 * ids + 1, values, [None] * len(ids), None, ids))
    file.close()
    return Stream(lambda: RecordingSource(RecordingSettings(path=root / name), JSON))


def parquet(root: Path) -> Stream:
    return packed_lines(root, "topic.parquet")
