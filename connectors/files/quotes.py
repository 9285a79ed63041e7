"""The quotes of CSV that open or close a cell, found all at once: what is between them is looked at no second time.

Of quotes side by side, each two stand for one that is text, or for an empty cell. So only an odd run of them opens or
closes a cell: its first quote opens one where a cell starts, its last one closes the one that is open.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values import Int64

_LINE_FEED = 10
_QUOTE = 34


class Quotes:
    """The n odd runs of quotes in a piece of CSV that starts at the beginning of a record."""

    def __init__(self, data: bytes, feeds: Int64, delimiter: bytes) -> None:
        """`feeds` are the indices of all line feeds in `data`."""
        text = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(text == _QUOTE)
        begins = np.diff(quotes, prepend=-2) > 1
        first, last = quotes[begins], quotes[np.append(begins[1:], True)]
        odd = (last - first) % 2 == 0
        first, last = first[odd], last[odd]
        line: Int64 = np.searchsorted(feeds, first)
        opens = _start_cells(text, first, delimiter)
        self.runs = first, last, line, opens
        """(n,) each: the index of the first quote, of the last one, the number of the line, and whether it opens a cell
        if none is open."""
        self._loose = _unpaired(line, opens)

    def next_loose(self, start: int) -> int | None:
        """Return the first run from `start` on that does not open a cell which the run after it closes in its line.

        No cell is open before `start`, and so none is before the run that is returned.
        """
        loose = self._loose[start % 2]
        index = bisect_left(loose, start)
        return loose[index] if index < len(loose) else None


def _unpaired(line: Int64, opens: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Return the runs that open no cell of one line: those with an even number, and those with an odd one."""
    paired = np.zeros(len(line), np.bool_)
    paired[:-1] = opens[:-1] & (line[:-1] == line[1:])
    loose = np.flatnonzero(~paired)
    return loose[loose % 2 == 0].tolist(), loose[loose % 2 == 1].tolist()


def _start_cells(text: NDArray[np.uint8], quotes: Int64, delimiter: bytes) -> NDArray[np.bool_]:
    """Return (n,) whether each quote comes at the start of a line, or behind a delimiter."""
    behind_delimiter = quotes >= len(delimiter)
    for back, byte in enumerate(reversed(delimiter), 1):
        behind_delimiter &= text.take(quotes - back, mode="clip") == byte
    starts_line: NDArray[np.bool_] = (quotes == 0) | (text[quotes - 1] == _LINE_FEED)
    return starts_line | behind_delimiter
