"""A JSON array of objects, read as JSON lines: each byte stays where it is, and the ends of elements become line ends.

So positions are offsets in the array, and whatever holds for lines holds for its elements: it need not fit into memory,
an element that is no JSON is one rejected record, and a file that stops before its `]` says so. Where brackets or
quotes do not match, the end of an element cannot be told: what comes behind is rejected. Several arrays may follow
each other, and lines: what a file is depends only on how it begins.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from learnd.connectors.files.compression import BrokenStreamError, ByteStream, FromStart, open_stream, packing_of
from learnd.connectors.files.splitters import BOM

ARRAY = "[]"
"""What is behind the packing of a file that holds one array."""

_HEAD_BYTES = 1 << 12
_ESCAPED = re.compile(rb"\\(?s:.)")
_ARRAY_OF_OBJECTS = re.compile(rb"\s*\[\s*(\{|\]|$)")

_BACKSLASH, _QUOTE, _COMMA, _LINE_FEED, _SPACE, _ARRAY_BEGINS = b'\\",\n ['
_WHITE = np.isin(np.arange(256), list(b" \t\r\n"))
_DEPTH = np.zeros(256, np.int8)
_DEPTH[list(b"[{")], _DEPTH[list(b"]}")] = 1, -1


def json_packing(descriptor: int, name: str) -> str:
    """Return how a JSON file is packed: by its name, and by what it begins with. It is read from its start."""
    packing = packing_of(name)
    try:
        head = _head(open_stream(descriptor, packing))
    except BrokenStreamError:
        return packing  # the first read raises it again
    return packing + ARRAY if _begins_array(head) else packing


def lines_of(descriptor: int, packing: str) -> ByteStream:
    """Return the byte stream of an open file that is packed like this, with a line for each record."""
    stream = open_stream(descriptor, packing.removesuffix(ARRAY))
    return ArrayStream(stream) if packing.endswith(ARRAY) else stream


class ArrayStream(FromStart):
    """The bytes of a stream that holds JSON arrays, with line feeds between their elements and within none.

    Only from the start on is it known what is an element.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._restart()

    def _restart(self) -> None:
        super()._restart()
        self._stream.seek(0)
        self._depth = 0
        self._in_array = True  # whether what was opened last at the top is one
        self._in_text = False
        self._escaped = False  # the next byte comes behind a backslash

    @property
    def complete(self) -> bool:
        return self._depth == 0 and self._stream.complete

    @property
    def consumed(self) -> int:
        return self._stream.consumed

    def _unpack(self, size: int) -> bytes:
        data = self._stream.read(size)
        return self._as_lines(data) if data else b""

    def _as_lines(self, data: bytes) -> bytes:
        """Turn what is between elements into line feeds, and line ends within one into blanks."""
        text = np.frombuffer(self._without_escapes(data), np.uint8)
        quotes = text == _QUOTE
        in_text = (np.cumsum(quotes) + self._in_text) % 2 == 1
        steps = np.where(in_text | quotes, 0, _DEPTH[text])
        depth = self._depth + np.cumsum(steps)
        in_array = self._of_arrays(text, (steps == 1) & (depth == 1))
        found = np.frombuffer(data, np.uint8).copy()
        found[in_array & ~in_text & (depth > 0) & ((text == _LINE_FEED) | (text == ord("\r")))] = _SPACE
        found[in_array & _between(text, in_text, steps, depth)] = _LINE_FEED
        self._in_text, self._depth, self._in_array = bool(in_text[-1]), int(depth[-1]), bool(in_array[-1])
        return found.tobytes()

    def _of_arrays(self, text: NDArray[np.uint8], begins: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return of which bytes the last bracket that was opened at the top is that of an array."""
        last = np.maximum.accumulate(np.where(begins, np.arange(len(text)), -1))
        found: NDArray[np.bool_] = np.where(last < 0, self._in_array, text[last] == _ARRAY_BEGINS)
        return found

    def _without_escapes(self, data: bytes) -> bytes:
        """Return as many bytes, without the backslashes and what comes behind them."""
        if self._escaped:
            data = b"." + data[1:]
        text = _ESCAPED.sub(b"..", data) if b"\\" in data else data
        self._escaped = text[-1] == _BACKSLASH
        return text


def _between(
    text: NDArray[np.uint8], in_text: NDArray[np.bool_], steps: NDArray[np.int8], depth: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which bytes are of an array itself: its brackets, its commas, and the blanks around them and behind it."""
    begins = (steps == 1) & (depth == 1)
    ends = (steps == -1) & (depth == 0)
    apart = ~in_text & (((depth == 1) & (text == _COMMA)) | ((depth <= 1) & _WHITE[text]))
    found: NDArray[np.bool_] = begins | ends | apart
    return found


def _head(stream: ByteStream) -> bytes:
    head = b""
    while len(head) < _HEAD_BYTES and (data := stream.read(_HEAD_BYTES - len(head))):
        head += data
    return head


def _begins_array(head: bytes) -> bool:
    """Whether a file that begins like this holds an array of objects, and not lines."""
    return _ARRAY_OF_OBJECTS.match(head.removeprefix(BOM)) is not None
