"""Samples of several inputs of several dtypes and of two targets: whatever is done to them, nothing changes but their
grouping, and each weight stays with its sample.
"""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensors import SEVERAL, assert_same, numbered

from learnd.daemon.stream.batching import Batcher
from learnd.daemon.values import Block, Call, Defect, Fate, Rejection, Samples

CUTS = st.lists(st.integers(0, 40), max_size=5)
FATES = st.lists(st.sampled_from([Fate.TRAIN] * 6 + [Fate.HOLD_OUT, Fate.REJECT]), min_size=1, max_size=40)


def pieces(count: int, cuts: list[int]) -> list[tuple[int, int]]:
    """Return where each piece of `count` begins and ends; some may be empty."""
    return list(pairwise(sorted([0, count, *(min(cut, count) for cut in cuts)])))


@given(st.integers(0, 40), CUTS)
def test_slices_joined_are_the_whole(count: int, cuts: list[int]) -> None:
    whole = numbered(count)
    parts = [whole[start:end] for start, end in pieces(count, cuts)]
    assert [len(part) for part in parts] == [end - start for start, end in pieces(count, cuts)]
    assert_same(Samples.joined(parts), whole)


@given(st.integers(1, 40), st.data())
def test_listed_rows_are_taken_in_their_order(count: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, count - 1), max_size=10))
    each = [numbered(1, first=row) for row in rows]
    assert_same(numbered(count)[np.array(rows, np.int64)], Samples.joined([numbered(0), *each]))


@given(st.integers(0, 6), st.integers(1, 6))
def test_batches_in_a_row_are_the_samples_again(updates: int, rows: int) -> None:
    samples = numbered(updates * rows)
    batches = samples.in_batches(updates, rows)
    assert len(batches) == updates
    for k in range(updates):
        assert_same(batches[k], samples[k * rows : (k + 1) * rows])
    assert_same(batches.in_a_row(), samples)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 5))
def test_padding_adds_batches_of_zeros(updates: int, rows: int, more: int) -> None:
    batches = numbered(updates * rows).in_batches(updates, rows)
    padded = batches.padded(updates + more)
    assert_same(padded[:updates], batches)
    assert_same(padded[updates:], SEVERAL.zeros(more, rows))


@given(st.integers(0, 10))
def test_arrays_by_one_name_each_are_the_samples_again(count: int) -> None:
    arrays = numbered(count).named()
    assert set(arrays) == {
        "inputs/image", "inputs/tokens", "inputs/numbers", "targets/clicked", "targets/price", "weight"
    }  # fmt: skip
    assert_same(Samples.of_named(arrays), numbered(count))


@pytest.mark.parametrize("leading", [(), (0,), (3,), (2, 3)])
def test_zeros_have_the_shapes_and_dtypes_of_the_spec(leading: tuple[int, ...]) -> None:
    zeros = SEVERAL.zeros(*leading)
    assert {name: (array.shape, array.dtype) for name, array in zeros.named().items()} == {
        f"{name}": ((*leading, *array.shape[1:]), array.dtype) for name, array in numbered(1).named().items()
    }
    assert not any(array.any() for array in zeros.named().values())


def test_the_bytes_of_a_sample_are_those_of_its_inputs() -> None:
    assert SEVERAL.bytes_a_sample == sum(array.nbytes for array in numbered(1).inputs.values()) == 12 + 20 + 8


@given(FATES, CUTS, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5))
def test_a_stream_cut_into_calls_gives_the_same_samples_in_the_same_order(
    fates: list[Fate], cuts: list[int], limits: list[int], batch_size: int
) -> None:
    batcher = Batcher(batch_size, SEVERAL)
    for start, end in pieces(len(fates), cuts):
        if start < end:
            batcher.add(block(fates[start:end], start))
    calls = drained(batcher, limits)
    assert_same(Samples.joined([call.batches.in_a_row() for call in calls]), of_fate(fates, Fate.TRAIN))
    assert_same(Samples.joined([call.held for call in calls]), of_fate(fates, Fate.HOLD_OUT))


def of_fate(fates: list[Fate], chosen: Fate) -> Samples:
    """Return the samples of the records of one fate, in order."""
    return numbered(len(fates))[np.flatnonzero(np.array(fates) == chosen)]


def block(fates: list[Fate], first: int) -> Block:
    """Return records from `first` on, each from its number to the next."""
    kinds, ends = np.array(fates, np.uint8), np.arange(first + 1, first + 1 + len(fates))
    rejections = tuple(
        Rejection("p", int(ends[index]) - 1, int(ends[index]), Defect("type", "bad"), b"")
        for index in np.flatnonzero(kinds == Fate.REJECT)
    )
    kept = numbered(len(fates), first)[np.flatnonzero(kinds != Fate.REJECT)]
    return Block("p", first, ends, kinds, kept, event_time_s=None, rejections=rejections)


def drained(batcher: Batcher, limits: list[int]) -> list[Call]:
    """Take calls of at most `limits` updates, in turn, until nothing waits."""
    calls: list[Call] = []
    while (call := batcher.take(limits[len(calls) % len(limits)]) or batcher.take_rest()) is not None:
        calls.append(call)
    return calls
