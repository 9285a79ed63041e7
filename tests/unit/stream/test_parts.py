"""Batches of records are decoded in parts where samples are large, with the same outcome."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from learnd.connectors.scripted import ScriptedSource
from learnd.daemon.stream.batching import Batcher
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.reader import Reader
from learnd.daemon.stream.reject_rate import RejectRate
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import FEATURES, Block, Columnar, Defect, Past, RecordBatch

N = 10
SETTINGS = SamplesSettings.model_validate({"features": {"v": "float"}, "label": "y"})
SPEC = SETTINGS.spec("regression")


def batch(**changes: Any) -> RecordBatch:
    values = [json.dumps({"v": number, "y": 0}).encode() for number in range(N)]
    return RecordBatch("p", 5, np.arange(7, 7 + 2 * N, 2), values, **changes)


def test_parts_are_the_same_records_with_all_that_is_known_of_each() -> None:
    whole = batch(
        keys=[b"%d" % number for number in range(N)],
        headers=[[("h", b"%d" % number)] for number in range(N)],
        timestamps_s=np.arange(N, dtype=np.float64),
        defects={0: Defect("corrupt", "a"), 4: Defect("corrupt", "b"), 9: Defect("corrupt", "c")},
        lines=list(range(1, N + 1)),
        places=np.arange(N),
        note={"a": 1},
    )
    parts = list(whole.parts(4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [part.start for part in parts] == [5, 13, 21]
    assert [part.note for part in parts] == [{"a": 1}, None, None]
    assert [part.begins_again for part in parts] == [True, False, False]
    for name in ("values", "keys", "headers", "lines", "ends", "timestamps_s", "places"):
        assert [one for part in parts for one in getattr(part, name)] == list(getattr(whole, name)), name
    found = [part.defects and {row: defect.detail for row, defect in part.defects.items()} for part in parts]
    assert found == [{0: "a"}, {0: "b"}, {1: "c"}]


def test_parts_of_little_know_no_more_and_what_is_small_is_left_whole() -> None:
    assert next(batch().parts(N)).values == batch().values
    *_, last = batch(defects={0: Defect("corrupt", "a")}).parts(3)
    assert (last.defects, last.keys, last.places, last.begins_again) == (None, None, None, False)
    columnar = RecordBatch("p", 0, np.arange(1, 5), Columnar(pa.RecordBatch.from_pylist([{"v": n} for n in range(4)])))
    assert [list(part.values) for part in columnar.parts(3)] == [[{"v": 0}, {"v": 1}, {"v": 2}], [{"v": 3}]]


class Noting(SampleDecoder):
    """Notes how many records it is given at once."""

    given: tuple[int, ...] = ()

    def decode(self, batch: RecordBatch) -> Block:
        self.given += (len(batch),)
        return super().decode(batch)


@pytest.mark.parametrize(("bytes_a_sample", "expected"), [(4, (N,)), (5 << 20, (3, 3, 3, 1)), (1 << 30, (1,) * N)])
def test_a_reader_decodes_few_records_at_once_if_their_samples_are_large(
    bytes_a_sample: int, expected: tuple[int, ...]
) -> None:
    decoder = Noting(SETTINGS, SPEC)
    reader = Reader(
        ScriptedSource([batch()]),
        decoder,
        lambda: Batcher(1, SPEC),
        bytes_a_sample=bytes_a_sample,
        max_updates=2,
        max_wait_s=None,
        periods=(),
        reject_rate=RejectRate(1.0, 50),
    )
    reader.open({}, [], Past())
    reader.start()
    rows: list[float] = []
    while not reader.exhausted:
        if (call := reader.call(len(rows), 1.0)) is not None:
            rows += call.batches.inputs[FEATURES].ravel().tolist()
    reader.stop()
    assert rows == list(range(N))
    assert decoder.given == expected
