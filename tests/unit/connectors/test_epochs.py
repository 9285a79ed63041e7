"""The records of files several times over, each time in another order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learnd.connectors.files.epochs import EpochsSource
from learnd.connectors.files.settings import EpochsSettings
from learnd.daemon.errors import SourceError
from learnd.daemon.stream.decoding.decoder import SampleDecoder
from learnd.daemon.stream.holdout import HoldoutRule
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import EPOCHS, Fate, Note, Positions, RecordBatch, RecordFormat

N = 2500  # more than a batch
JSON = RecordFormat("json")


def written(path: Path, count: int = N) -> Path:
    path.write_bytes(b"".join(b'{"id": %d, "y": %d}\n' % (i, i % 2) for i in range(count)))
    return path


def opened(path: Path, positions: Positions | None = None, notes: Sequence[Note] = (), **more: Any) -> EpochsSource:
    source = EpochsSource(EpochsSettings.model_validate({"path": str(path), "epochs": 3} | more), JSON)
    source.open(positions or {}, notes)
    return source


def drained(source: EpochsSource) -> list[RecordBatch]:
    batches = []
    while (batch := source.read(0)) is not None:
        batches.append(batch)
    return batches


def ids(batches: Sequence[RecordBatch]) -> list[int]:
    return [json.loads(value)["id"] if isinstance(value, bytes) else value["id"] for b in batches for value in b.values]


def test_each_epoch_has_all_records_in_an_order_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    found = ids(drained(opened(path)))
    orders = [found[start : start + N] for start in range(0, 3 * N, N)]
    assert len(found) == 3 * N
    for order in orders:
        assert sorted(order) == list(range(N))
        assert abs(np.corrcoef(order, range(N))[0, 1]) < 0.1
    assert orders[0] != orders[1] != orders[2]
    assert ids(drained(opened(path))) == found
    assert ids(drained(opened(path, seed=8))) != found
    assert ids(drained(opened(path, shuffle=False))) == 3 * list(range(N))


def test_the_order_is_the_same_for_ever(tmp_path: Path) -> None:
    assert ids(drained(opened(written(tmp_path / "a.jsonl", 8)))) == [
        *(1, 3, 2, 4, 7, 0, 6, 5),
        *(6, 4, 2, 0, 7, 1, 3, 5),
        *(7, 0, 6, 5, 2, 1, 3, 4),
    ]


def test_it_goes_on_anywhere_and_reads_any_range_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    batches = drained(opened(path))
    notes, found = [batches[0].note or {}], ids(batches)
    assert [batch.note for batch in batches[1:]] == [None] * (len(batches) - 1)
    for position in (1, N - 1, N, N + 1, 3 * N - 1, 3 * N):
        source = opened(path, {EPOCHS: position}, notes)
        assert sum(source.lag().values()) == 3 * N - position
        assert ids(drained(source)) == found[position:]
    source = opened(path, {EPOCHS: 10}, notes)
    assert ids(list(source.read_range(EPOCHS, 10, N + 20))) == found[10 : N + 20]
    assert ids(drained(source)) == found[N + 20 :]


def test_more_epochs_go_on_behind_those_before(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    batches = drained(opened(path))
    more = opened(path, {EPOCHS: 3 * N}, [batches[0].note or {}], epochs=5)
    assert ids(batches) + ids(drained(more)) == ids(drained(opened(path, epochs=5)))


def test_other_records_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    note = opened(path).read(0).note  # type: ignore[union-attr]
    assert note is not None
    for content in (b'{"id": 1, "y": 1}\n', path.read_bytes().replace(b'"id": 7,', b'"id": 8,', 1)):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"not those that the model was trained on so far \(2,500 records\)"):
            opened(path, {EPOCHS: 5}, [note])


def test_another_order_waits_for_the_end_of_an_epoch(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    notes = [opened(path).read(0).note or {}]  # type: ignore[union-attr]
    for other in ({"shuffle": False}, {"seed": -1}):
        with pytest.raises(SourceError, match=r"an epoch is under way in another order \(shuffled, seed 7\)"):
            opened(path, {EPOCHS: N + 1}, notes, **other)
        after = opened(path, {EPOCHS: N}, notes, **other)
        (changed,) = [batch.note for batch in drained(after) if batch.note is not None]
        assert ids(drained(opened(path, {EPOCHS: N + 9}, [*notes, changed], **other)))[-1] in range(N)


def test_fewer_epochs_than_a_journal_needs_say_how_many_it_takes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl")
    fewer = opened(path, {EPOCHS: 2 * N}, [opened(path).read(0).note or {}], epochs=1)  # type: ignore[union-attr]
    assert fewer.exhausted
    with pytest.raises(SourceError, match=r"1 epochs of .* have 2500\. .* Give at least 3 epochs, as before"):
        list(fewer.read_range(EPOCHS, 2 * N, 2 * N + 5))


def test_the_same_records_are_held_out_of_each_epoch(tmp_path: Path) -> None:
    samples = SamplesSettings.model_validate({"features": {"id": "float"}, "label": "y"})
    decoder = SampleDecoder(samples, samples.spec("binary"), HoldoutRule(0.1, "position"))
    held, trained = [], []
    for batch in drained(opened(written(tmp_path / "a.jsonl"))):
        block = decoder.decode(batch)
        fates, found = block.fates[block.sampled], block.samples.inputs["features"][:, 0]
        assert len(fates) == len(found)
        held += found[fates == Fate.HOLD_OUT].tolist()
        trained += found[fates == Fate.TRAIN].tolist()
    assert 0.05 * N < len(held) < 0.15 * N
    assert len(set(held)) == len(held)  # once, though they come three times
    assert sorted(trained) == sorted(3 * [float(i) for i in range(N) if i not in held])


def test_what_is_broken_is_so_in_each_epoch(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", 5)
    with path.open("ab") as file:
        file.write(b'{"id": "' + b"x" * 2000 + b'"}\n')
    found = drained(opened(path, max_record_bytes=1024))
    assert [defect.reason for batch in found for defect in (batch.defects or {}).values()] == ["oversized"] * 3


def test_rows_of_parquet_stay_columns(tmp_path: Path) -> None:
    table = pa.table({"id": range(N), "name": [f"n{i}" for i in range(N)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=900)
    settings = EpochsSettings(path=str(tmp_path / "a.parquet"), epochs=2)
    source = EpochsSource(settings, RecordFormat("parquet"))
    source.open({}, [])
    batches = drained(source)
    found = ids(batches)
    assert sorted(found[:N]) == sorted(found[N:]) == list(range(N))
    assert all(row["name"] == f"n{row['id']}" for batch in batches for row in batch.values)


def test_parquet_of_other_types_is_one_stream(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([0, 1], pa.int64())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": pa.array([2.0, 3.0])}), tmp_path / "b.parquet")
    source = EpochsSource(EpochsSettings(path=str(tmp_path), epochs=2), RecordFormat("parquet"))
    source.open({}, [])
    assert sorted(ids(drained(source))) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_files_of_other_columns_have_no_common_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,y\n1,0\n")
    (tmp_path / "b.csv").write_text("y,id\n1,0\n" + "x" * 2_000_000 + ",1\n")  # with a line that is too long
    source = EpochsSource(EpochsSettings(path=str(tmp_path)), RecordFormat("csv"))
    with pytest.raises(SourceError, match="not the same columns"):
        source.open({}, [])


def test_no_records_are_no_epochs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    source = opened(tmp_path / "a.jsonl")
    assert source.exhausted
    assert source.read(0) is None
