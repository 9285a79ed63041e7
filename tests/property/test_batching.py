"""However the records arrive and however many updates a call takes, the same batches come out, and each record once."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import assert_same

from learnd.daemon.stream.batching import Batcher, updates_until
from learnd.daemon.values import (
    FEATURES,
    LABEL,
    Block,
    Call,
    Column,
    ColumnKind,
    Defect,
    Fate,
    Rejection,
    Samples,
    SampleSpec,
    Task,
)

SPEC = SampleSpec.of_columns([Column("number", ColumnKind.NUMBER)], Task("regression", 1, 1))
FATES = st.lists(st.sampled_from([Fate.TRAIN] * 6 + [Fate.HOLD_OUT, Fate.REJECT]), max_size=60)


def blocks(fates: Sequence[Fate], cuts: Sequence[int]) -> list[Block]:
    """Records 0, 1, 2... of one partition, record i from position 10 i to 10 i + 10, cut into blocks."""
    edges = sorted({0, len(fates), *[cut % (len(fates) + 1) for cut in cuts]})
    return [block(fates[start:end], start) for start, end in pairwise(edges)]


def block(fates: Sequence[Fate], first: int) -> Block:
    numbers = np.arange(first, first + len(fates))
    kept = np.array([number for number, fate in zip(numbers, fates, strict=True) if fate != Fate.REJECT], np.float32)
    return Block(
        partition="p",
        start=first * 10,
        ends=numbers * 10 + 10,
        fates=np.array(fates, np.uint8),
        samples=Samples({FEATURES: kept[:, None]}, {LABEL: kept[:, None] + 0.5}, kept + 0.25),
        event_time_s=kept.astype(np.float64),
        rejections=tuple(
            Rejection("p", int(number) * 10, int(number) * 10 + 10, Defect("type", "bad"), b"")
            for number, fate in zip(numbers, fates, strict=True)
            if fate == Fate.REJECT
        ),
        note={"first": first},
    )


def drain(batcher: Batcher, limits: list[int]) -> list[Call]:
    calls = []
    while True:
        call = batcher.take(limits[len(calls) % len(limits)]) or batcher.take_rest()
        if call is None:
            return calls
        calls.append(call)


def check_positions(calls: list[Call], records: int) -> None:
    """Every record is in one call, in order, with its rejections and its held-out samples."""
    position = 0
    for call in calls:
        for span in call.spans:
            assert span.start == position
            position = span.end
        assert call.records == sum(span.end - span.start for span in call.spans) // 10
        assert len(call.spans) == 1
        assert call.records == call.samples + len(call.held) + len(call.rejections)
        assert all(call.spans[0].start <= rejection.start < call.spans[0].end for rejection in call.rejections)
        assert all(call.spans[0].start <= x * 10 < call.spans[0].end for x in call.held.inputs[FEATURES].ravel())
        assert call.event_time_s == (call.batches.inputs[FEATURES].max() if call.samples else None)
    assert position == records * 10


@given(
    FATES,
    st.lists(st.integers(0, 100), max_size=5),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(1, 5),
)
def test_the_batches_are_the_same_however_they_are_cut(
    fates: list[Fate], cuts: list[int], limits: list[int], batch_size: int
) -> None:
    if not fates:
        return
    batcher = Batcher(batch_size, SPEC)
    for item in blocks(fates, cuts):
        batcher.add(item)
    calls = drain(batcher, limits)
    check_positions(calls, len(fates))
    trained = [number for number, fate in enumerate(fates) if fate == Fate.TRAIN]
    taken = Samples.joined([call.batches.in_a_row() for call in calls])
    assert taken.inputs[FEATURES].ravel().tolist() == trained
    assert taken.targets[LABEL].ravel().tolist() == [number + 0.5 for number in trained]
    assert taken.weight.tolist() == [number + 0.25 for number in trained]
    sizes = [call.rows for call in calls for _ in range(call.updates)]
    full, rest = divmod(len(trained), batch_size)
    assert sizes == [batch_size] * full + [rest] * bool(rest)
    assert [call.partial for call in calls if call.updates][-1:] == ([bool(rest)] if trained else [])
    assert [note["first"] for call in calls for note in call.notes] == [
        item.start // 10 for item in blocks(fates, cuts)
    ]
    assert batcher.records == batcher.waiting == 0


@given(FATES, st.lists(st.integers(0, 100), max_size=5), st.lists(st.integers(0, 100), max_size=5), st.integers(1, 5))
def test_a_call_is_repeated_from_its_records_alone(
    fates: list[Fate], cuts: list[int], other_cuts: list[int], batch_size: int
) -> None:
    batcher = Batcher(batch_size, SPEC)
    for item in blocks(fates, cuts):
        batcher.add(item)
    for call in drain(batcher, [3]):
        again = Batcher(batch_size, SPEC)
        first, last = call.spans[0].start // 10, call.spans[0].end // 10
        edges = sorted({first, last, *[cut for cut in other_cuts if first < cut < last]})
        for start, end in pairwise(edges):
            again.add(block(fates[start:end], start))
        repeated = again.take_exactly(call.updates, call.rows)
        assert repeated is not None
        assert repeated.spans == call.spans
        assert repeated.partial == call.partial
        assert_same(repeated.batches, call.batches)
        assert_same(repeated.held, call.held)
        assert repeated.rejections == call.rejections


def test_a_call_that_does_not_fit_the_records_is_not_made() -> None:
    batcher = Batcher(2, SPEC)
    batcher.add(block([Fate.TRAIN] * 5, 0))
    assert batcher.take_exactly(2, 2) is None
    assert batcher.waiting == 5


@given(st.integers(0, 10_000), st.integers(1, 300), st.lists(st.integers(1, 5_000), min_size=1, max_size=3))
def test_calls_end_where_something_is_due(samples: int, batch_size: int, periods: list[int]) -> None:
    updates = updates_until(samples, batch_size, periods)
    crossed = [(samples + updates * batch_size) // period > samples // period for period in periods]
    before = [(samples + (updates - 1) * batch_size) // period > samples // period for period in periods]
    assert any(crossed)
    assert not any(before)


def test_without_periods_there_is_no_limit() -> None:
    assert updates_until(5, 2, []) > 1 << 40


@pytest.mark.parametrize(("count", "expected"), [(10_000, False), (10_001, True)])
def test_a_stretch_without_samples_is_moved_past(count: int, expected: bool) -> None:
    batcher = Batcher(1, SPEC)
    batcher.add(block([Fate.REJECT] * count, 0))
    assert batcher.only_untrained is expected
    call = batcher.take_rest()
    assert call is not None
    assert (call.updates, call.records, len(call.rejections), call.partial) == (0, count, count, False)
