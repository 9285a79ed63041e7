"""What every source must do: each check runs on each stream of each source in the registry.

A source joins with a line in the registry and a module `source_streams/NAME.py`. Each public function in it writes the
stream of `source_streams/stream.py` below a folder, and returns it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from source_streams.stream import N, Stream

from learnd.daemon.contracts import Source
from learnd.daemon.errors import SourceError
from learnd.daemon.registry import SOURCES
from learnd.daemon.values import Note, Positions, RecordBatch


def streams_of(source: str) -> Iterator[Callable[[Path], Stream]]:
    module = importlib.import_module(f"source_streams.{source}")
    for name, found in inspect.getmembers(module, inspect.isfunction):
        if found.__module__ == module.__name__ and not name.startswith("_"):
            yield found


STREAMS = [
    pytest.param(make, id=f"{source}-{make.__name__}")
    for source in (*SOURCES, "scripted")
    for make in streams_of(source)
]


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest, tmp_path: Path) -> Stream:
    made: Stream = request.param(tmp_path)
    return made


def drain(source: Source) -> Iterator[RecordBatch]:
    """Read to the end; for a stream without one, until it has nothing more for a while."""
    quiet = 0
    while not source.exhausted and not (source.live and quiet >= 3):
        batch = source.read(0.05)
        quiet = 0 if batch is not None or not source.connected or any(source.lag().values()) else quiet + 1
        if batch is not None:
            yield batch


def identity(value: object, columns: tuple[str, ...] | None) -> int:
    if isinstance(value, dict):
        return int(value["id"])
    assert isinstance(value, bytes)
    if columns == ("id", "text"):
        return int(value.split(b",")[0])
    return int(json.loads(value)["id"])


def ids(batches: list[RecordBatch]) -> list[int]:
    return [identity(value, batch.columns) for batch in batches for value in batch.values]


def notes(batches: list[RecordBatch]) -> list[Note]:
    return [json.loads(json.dumps(batch.note)) for batch in batches if batch.note is not None]


def _without_prints(note: Note) -> Note:
    """Leave out what depends on how much of a pipe had arrived when the note was written."""
    return {key: value for key, value in note.items() if key != "prints"}


def after(batches: list[RecordBatch]) -> Positions:
    return {batch.partition: int(batch.ends[-1]) for batch in batches}


def whole(stream: Stream) -> list[RecordBatch]:
    source = stream.open()
    try:
        return list(drain(source))
    finally:
        source.close()


def test_hands_out_every_record_once_and_in_order(stream: Stream) -> None:
    assert ids(whole(stream)) == list(range(N))


def test_positions_grow_and_batches_touch(stream: Stream) -> None:
    reached: Positions = {}
    for batch in whole(stream):
        assert batch.start == reached.get(batch.partition, 0)
        assert (np.diff(batch.ends, prepend=batch.start) > 0).all()
        assert len(batch.ends) == len(batch.values) >= 1
        reached[batch.partition] = int(batch.ends[-1])


def test_a_partition_is_noted_before_or_with_its_first_record(stream: Stream) -> None:
    seen = set()
    for batch in whole(stream):
        if batch.partition not in seen:
            assert batch.note is not None
        seen.add(batch.partition)


def test_resumes_after_any_batch_with_the_rest(stream: Stream) -> None:
    batches = whole(stream)
    for count in range(len(batches) + 1):
        source = stream.open(after(batches[:count]), notes(batches[:count]))
        rest = list(drain(source))
        source.close()
        assert ids(batches[:count]) + ids(rest) == list(range(N))


def test_resumes_in_the_middle_of_a_batch(stream: Stream) -> None:
    batches = whole(stream)
    for index in (0, len(batches) // 2, len(batches) - 1):
        row = len(batches[index]) // 2
        positions = after(batches[:index]) | {batches[index].partition: int(batches[index].ends[row])}
        source = stream.open(positions, notes(batches[: index + 1]))
        rest = ids(list(drain(source)))
        source.close()
        last = identity(batches[index].values[row], batches[index].columns)
        assert rest == list(range(last + 1, N))


def ranged(source: Source, partition: str, start: int, end: int) -> list[RecordBatch]:
    """Return the records of a range, leaving out the times at which none had arrived yet."""
    return [batch for batch in source.read_range(partition, start, end) if batch is not None]


def test_a_range_holds_what_was_read_and_reading_goes_on_behind_it(stream: Stream) -> None:
    batches = whole(stream)
    taken = batches[: len(batches) // 2 + 1]
    source = stream.open({}, notes(taken))
    again = []
    for batch in taken:
        middle = int(batch.ends[len(batch) // 2])
        again += ranged(source, batch.partition, batch.start, middle)
        if middle < batch.ends[-1]:
            again += ranged(source, batch.partition, middle, int(batch.ends[-1]))
    rest = list(drain(source))
    source.close()
    assert ids(again) == ids(taken)
    assert np.concatenate([b.ends for b in again]).tolist() == np.concatenate([b.ends for b in taken]).tolist()
    assert ids(again) + ids(rest) == list(range(N))


def test_a_resume_splits_nothing_differently(stream: Stream) -> None:
    def records(batches: list[RecordBatch]) -> list[tuple[str, int, object]]:
        return [(b.partition, int(end), value) for b in batches for end, value in zip(b.ends, b.values, strict=True)]

    batches = whole(stream)
    source = stream.open(after(batches[:1]), notes(batches[:1]))
    rest = records(list(drain(source)))
    source.close()
    assert records(batches[:1]) + rest == records(batches)


def test_opened_again_it_forgets_what_was_read(stream: Stream) -> None:
    source = stream.open()
    before = list(drain(source))
    source.open({}, [])
    again = list(drain(source))
    source.close()
    assert ids(before) == ids(again) == list(range(N))
    assert [_without_prints(note) for note in notes(again)[:1]] == [_without_prints(note) for note in notes(before)[:1]]
    assert after(again) == after(before)


def test_opened_again_it_forgets_the_ranges_that_were_read(stream: Stream) -> None:
    batches = whole(stream)
    source = stream.open(after(batches[:1]), notes(batches))
    for batch in batches[1 : len(batches) // 2 + 1]:
        ranged(source, batch.partition, batch.start, int(batch.ends[-1]))
    source.open(after(batches[:1]), notes(batches[:1]))
    rest = list(drain(source))
    source.close()
    assert ids(batches[:1]) + ids(rest) == list(range(N))
    assert [batch.partition for batch in rest[-1:]] == [batches[-1].partition]


def test_closes_whatever_happened_before(stream: Stream) -> None:
    stream.make().close()
    source = stream.open()
    source.close()
    source.close()
    source.open({}, [])
    assert ids(list(drain(source))) == list(range(N))
    source.close()


def test_exhausted_only_when_every_record_was_returned(stream: Stream) -> None:
    source = stream.open()
    assert not source.exhausted
    count = sum(map(len, drain(source)))
    assert count == N
    assert source.exhausted or source.live
    assert source.read(0.0) is None
    source.close()


def test_lag_falls_to_nothing(stream: Stream) -> None:
    source = stream.open()
    first = source.read(1.0)
    assert first is not None
    before = sum(source.lag().values())
    list(drain(source))
    assert 0 == sum(source.lag().values()) < before
    source.close()


def test_what_it_holds_reaches_from_somewhere_to_the_end_of_what_was_read(stream: Stream) -> None:
    source = stream.open()
    ends = {batch.partition: int(batch.ends[-1]) for batch in drain(source)}
    for name, (first, end) in source.held().items():  # sources that delete nothing say nothing
        assert 0 <= first <= ends[name] <= end
    source.close()


def test_a_read_without_time_comes_back(stream: Stream) -> None:
    source = stream.open()
    found = []
    for _ in range(10_000):
        batch = source.read(0.0)
        if batch is None and (source.exhausted or sum(map(len, found)) == N):
            break
        if batch is not None:
            found.append(batch)
        else:
            time.sleep(0.001)
    source.close()
    assert ids(found) == list(range(N))


def test_an_unknown_range_is_a_source_error(stream: Stream) -> None:
    source = stream.open()
    with pytest.raises(SourceError, match="nowhere-9"):
        list(source.read_range("nowhere-9", 0, 10))
    source.close()


def test_a_range_past_the_end_is_a_source_error(stream: Stream) -> None:
    batches = whole(stream)
    last = batches[-1]
    source = stream.open({}, notes(batches))
    with pytest.raises(SourceError, match=last.partition):
        list(source.read_range(last.partition, last.start, int(last.ends[-1]) + 100))
    source.close()


def test_notes_find_what_was_renamed(stream: Stream) -> None:
    if stream.rename is None:
        pytest.skip("cannot be renamed")
    batches = whole(stream)
    taken = batches[: len(batches) // 2 + 1]
    stream.rename()
    source = stream.open(after(taken), notes(taken))
    again = ids(ranged(source, taken[-1].partition, taken[-1].start, int(taken[-1].ends[-1])))
    rest = ids(list(drain(source)))
    source.close()
    assert again == ids(taken[-1:])
    noted = {batch.partition for batch in taken}
    assert rest == ids([batch for batch in batches[len(taken) :] if batch.partition in noted])
