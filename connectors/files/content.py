"""What the records of a file begin with, so that a copy of it is recognised, compressed or not.

The digest covers the header of CSV and the records behind it. It is taken while they are read, behind each line of the
first kilobyte of records, behind that kilobyte and at each doubling, up to 16 MiB: so a big file costs no more than a
small one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from learnd.connectors.files.compression import BrokenStreamError, ByteStream

LEAST_BYTES = 1 << 10  # of records: less is too little to tell a copy from a file that happens to begin alike
MOST_BYTES = 1 << 24
_PIECE_BYTES = 1 << 16
_DIGITS = 32
_LINE_FEED = 10
_DIGITS_OF_A_LINE = 12  # there may be many of them in a note, and they count for one file alone

Prints = Mapping[int, str]
"""The digest of the header and of so many bytes of records behind it."""


def lasting(prints: Prints, length: int, *, whole: bool) -> Prints:
    """Return the prints of the first bytes, without those that change with each record once others are there."""
    few = whole or LEAST_BYTES not in prints
    return {
        n: digest for n, digest in prints.items() if n <= length and (few or n < LEAST_BYTES or n % LEAST_BYTES == 0)
    }


class Content:
    """The digests of the bytes that were seen, from the first record on."""

    def __init__(self, header: bytes) -> None:
        self._hash = hashlib.sha256(header)
        self._next = LEAST_BYTES
        self._marks: dict[int, str] = {}
        self.length = 0

    @property
    def wanted(self) -> int:
        """How many more bytes count."""
        return MOST_BYTES - self.length

    def take(self, offset: int, data: bytes) -> None:
        """Take in the bytes at an offset behind the header, as far as they are new."""
        left = memoryview(data)[max(self.length - offset, 0) :] if offset <= self.length else memoryview(b"")
        while left and self.wanted:
            piece = left[: self._up_to_the_mark(left)]
            self._hash.update(piece)
            self.length += len(piece)
            left = left[len(piece) :]
            if self.length == self._next or (self.length < LEAST_BYTES and piece[-1] == _LINE_FEED):
                self._marks[self.length] = self._digest()
            if self.length == self._next:
                self._next *= 2

    def prints(self) -> Prints:
        return {**self._marks, self.length: self._digest()} if self.length else {}

    def _up_to_the_mark(self, data: memoryview) -> int:
        """Return how many of the bytes come before the next digest: in the first kilobyte, a line."""
        left = self._next - self.length
        return bytes(data[:left]).find(b"\n") + 1 or left if self.length < LEAST_BYTES else left

    def _digest(self) -> str:
        return self._hash.hexdigest()[: _DIGITS if self.length >= LEAST_BYTES else _DIGITS_OF_A_LINE]


class ContentStream:
    """A `ByteStream` that takes the digests of what is read from it, from `begin` on."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._offset = 0
        self._begin = 0
        self.content: Content | None = None

    @property
    def unpacks(self) -> bool:
        return self._stream.unpacks

    @property
    def complete(self) -> bool:
        return self._stream.complete

    @property
    def consumed(self) -> int:
        return self._stream.consumed

    def begin(self, offset: int) -> None:
        """Say where the first record begins."""
        if self.content is None:
            self.seek(0)
            self.content, self._begin = Content(self.read(offset) if offset else b""), offset

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if self.content is not None:
            self.content.take(self._offset - self._begin, data)
        self._offset += len(data)
        return data

    def seek(self, offset: int) -> int:
        if self.content is not None:
            self._read_up_to(offset, self.content)
        self._offset = self._stream.seek(offset)
        return self._offset

    def _read_up_to(self, offset: int, content: Content) -> None:
        """Read what would be passed over and still counts."""
        missing = min(offset - self._begin - content.length, content.wanted)
        if missing <= 0:
            return
        self._offset = self._stream.seek(self._begin + content.length)
        try:
            while missing > 0 and (data := self.read(min(missing, _PIECE_BYTES))):
                missing -= len(data)
        except BrokenStreamError:
            pass  # the next read raises it again


class Survey:
    """A look at the beginning of a file, apart from the reading of its records."""

    def __init__(self, begin: Callable[[], tuple[ContentStream, int]]) -> None:
        """`begin` returns the stream of the file from its start, and where its first record begins."""
        self._restart = begin
        self._stream, self.begin = begin()

    def digest(self, length: int) -> str | None:
        """Return the digest of so many bytes of records; None if there are not so many."""
        if self._content.length > length and length not in self._content.prints():
            self._stream, self.begin = self._restart()
        self._stream.seek(self.begin + length)
        return self._content.prints().get(length)

    @property
    def is_short(self) -> bool:
        """Whether there are too few records to compare, in an archive that is not whole."""
        return self.digest(LEAST_BYTES) is None and not self._stream.complete

    def all_of_it(self) -> tuple[int, str]:
        """Return how many bytes of records there are, as far as they count, and their digest."""
        self._stream.seek(self.begin + MOST_BYTES)
        return max(self._content.prints().items(), default=(0, ""))

    def before(self, position: int, size: int) -> bytes:
        """Return the `size` bytes before a position; fewer if the file begins or ends there."""
        start = max(position - size, 0)
        data = b""
        if self._stream.seek(start) == start:
            try:
                while len(data) < position - start and (piece := self._stream.read(position - start - len(data))):
                    data += piece
            except BrokenStreamError:
                pass
        return data

    def around(self, position: int) -> bytes:
        """Return the byte before a position, and the one behind it."""
        if self._stream.seek(max(position - 1, 0)) < position - 1:
            return b""
        try:
            before = self._stream.read(1) if position else b"\n"
            return before + self._stream.read(1)
        except BrokenStreamError:
            return b""

    @property
    def _content(self) -> Content:
        assert self._stream.content is not None, "a survey begins behind the header"
        return self._stream.content
