"""A place that an output writes to, and how to see what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from learnd.daemon.contracts import Output


@dataclass
class Place:
    """`make` builds an output on it, `write` gives that output one item, `read` returns the items that are there."""

    make: Callable[[], Output]
    write: Callable[[Any, int], None]
    read: Callable[[], list[int]]
    cuts: bool = True  # what comes after a mark can be removed
