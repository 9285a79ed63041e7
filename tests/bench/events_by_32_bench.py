"""The same as `events_bench`, with 32 samples an update."""

from __future__ import annotations

from events_bench import rows_of
from report import Row


def rows() -> list[Row]:
    return rows_of(32)
