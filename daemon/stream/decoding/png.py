"""Whether a PNG holds all of its rows: its decoder takes a stream that ends early for one whose last rows are black."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the type of its colours
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: the first column and row of each pass, and the steps to the next ones."""


def has_all_rows(data: bytes) -> bool:
    """Return whether a PNG whose checksums are right has the bytes of all its pixels. Raises zlib.error."""
    stream = zlib.decompressobj()
    return sum(len(stream.decompress(part)) for part in _parts(data)) >= _expected(data)


def is_interlaced(data: bytes) -> bool:
    return data[28] == 1


def _parts(data: bytes) -> Iterator[bytes]:
    """Yield the chunks of the compressed pixels."""
    at = 8
    while at < len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            yield data[at + 8 : end]
        at = end + 4  # (a checksum)


def _expected(data: bytes) -> int:
    """Return how many bytes all rows have, each with one that says how it is filtered."""
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits = data[24] * _SAMPLES[data[25]]
    passes = _PASSES if is_interlaced(data) else ((0, 0, 1, 1),)
    sides = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
    return sum((1 + -(-columns * bits // 8)) * rows for columns, rows in sides if columns > 0 < rows)
