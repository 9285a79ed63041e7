"""The latest rows, and no others, oldest first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.evaluation.ring import Ring


@given(size=st.integers(0, 9), pieces=st.lists(st.integers(0, 25), max_size=12), count=st.integers(0, 30))
def test_a_ring_holds_the_latest_rows_oldest_first(size: int, pieces: list[int], count: int) -> None:
    ring = Ring(size)
    row = 0
    for piece in pieces:
        numbers = np.arange(row, row + piece)
        ring.add({"a": numbers, "b": np.stack((numbers, -numbers), axis=1)})
        row += piece
    kept = list(range(row))[max(0, row - size) :]
    latest = ring.latest(count)
    assert len(ring) == len(kept)
    if latest:
        assert latest["a"].tolist() == kept[max(0, len(kept) - count) :]
        assert latest["b"][:, 1].tolist() == [-number for number in latest["a"]]


@pytest.mark.parametrize("size", [3, 5, 8])
def test_a_ring_of_another_size_takes_over_the_latest_rows(size: int) -> None:
    ring, other = Ring(5), Ring(size)
    ring.add({"a": np.arange(7)})
    other.add({"a": np.arange(100)})
    other.restore(ring.state())
    assert other.latest(10)["a"].tolist() == [2, 3, 4, 5, 6][-size:]


def test_rows_of_another_shape_are_refused_rather_than_broadcast() -> None:
    ring = Ring(5)
    ring.add({"x": np.zeros((2, 3))})
    with pytest.raises(StateMismatchError, match="'x'"):
        ring.add({"x": np.zeros((2, 1))})


def test_a_state_does_not_change_with_the_ring() -> None:
    ring = Ring(3)
    ring.add({"a": np.arange(3)})
    state = ring.state()
    ring.add({"a": np.arange(10, 13)})
    assert state.arrays["a"].tolist() == [0, 1, 2]
