"""Pieces of a sequence that end at multiples, wherever the sequence was cut."""

from hypothesis import given
from hypothesis import strategies as st

from learnd.daemon.foundation.counters import up_to_multiples


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 70))
def test_pieces_end_at_multiples_and_leave_nothing_out(before: int, length: int, every: int) -> None:
    pieces = list(up_to_multiples(before, length, every))
    assert [item for piece in pieces for item in range(length)[piece]] == list(range(length))
    assert all((before + piece.stop) % every == 0 for piece in pieces[:-1])
    assert all(0 < piece.stop - piece.start <= every for piece in pieces)
