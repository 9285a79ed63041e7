"""The latest rows of each key, against a plain way to keep them."""

from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.errors import StateMismatchError
from learnd.daemon.foundation.recent import RecentRows

LENGTH, AHEAD = 3, 2
KEPT = LENGTH - 1 + AHEAD
keys = st.lists(st.sampled_from([b"", b"a", b"bb", b"a\x00", b"c"]), min_size=1, max_size=60)


def rows_for(stream: list[bytes]) -> np.ndarray:
    """Return rows that are all different, and never zero."""
    return np.arange(1, 2 * len(stream) + 1, dtype=np.float32).reshape(-1, 2)


def plainly(stream: list[bytes], most: int) -> tuple[np.ndarray, list[int]]:
    """Return the window of each row, and how many rows of its key there were before."""
    known: OrderedDict[bytes, list[np.ndarray]] = OrderedDict()
    windows, earlier = [], []
    for key, row in zip(stream, rows_for(stream), strict=True):
        if key not in known and len(known) == most:
            known.popitem(last=False)
        past = known.setdefault(key, [])
        known.move_to_end(key)
        earlier.append(len(past))
        past.append(row)
        padded = [np.zeros(2, np.float32)] * (KEPT + 1) + past
        windows.append(np.stack(padded[len(padded) - LENGTH - AHEAD : len(padded) - AHEAD]))
    return np.stack(windows), earlier


@given(keys, st.integers(1, 6), st.lists(st.integers(1, 20), max_size=6))
def test_windows_are_those_of_a_plain_way_however_the_stream_is_cut_and_resumed(
    stream: list[bytes], most: int, pieces: list[int]
) -> None:
    expected, before = plainly(stream, most)
    recent, rows, start, windows, enough = RecentRows(KEPT, 2, most), rows_for(stream), 0, [], []
    for piece in [*pieces, len(stream)]:
        part = slice(start, min(start + piece, len(stream)))
        if part.start == part.stop:
            break
        placed = recent.add(stream[part], rows[part])
        windows.append(placed.windows(LENGTH, AHEAD))
        enough += (placed.earlier >= AHEAD).tolist()
        again = RecentRows(KEPT, 2, most)
        again.restore(recent.state())
        assert again.state() == recent.state()
        recent, start = again, part.stop
    assert np.array_equal(np.concatenate(windows), expected)
    assert enough == [count >= AHEAD for count in before]


@given(keys)
def test_fewer_keys_than_a_state_has_are_the_latest_ones(stream: list[bytes]) -> None:
    many, few = RecentRows(KEPT, 2, 5), RecentRows(KEPT, 2, 2)
    many.add(stream, rows_for(stream))
    few.restore(many.state())
    latest = list(dict.fromkeys(reversed(stream)))[:2]
    wanted = RecentRows(KEPT, 2, 5)
    wanted.restore(many.state())
    rows = np.ones((len(latest), 2), np.float32)
    assert np.array_equal(few.add(latest, rows).windows(LENGTH, 1), wanted.add(latest, rows).windows(LENGTH, 1))


def test_a_state_of_other_rows_is_refused() -> None:
    recent, other = RecentRows(KEPT, 2, 5), RecentRows(KEPT, 3, 5)
    recent.add([b"a"], np.ones((1, 2), np.float32))
    before = other.state()
    with pytest.raises(StateMismatchError, match="4 rows of 3 columns"):
        other.restore(recent.state())
    assert other.state() == before
