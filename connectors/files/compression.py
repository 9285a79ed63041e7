"""Byte streams of files, plain or compressed. Positions are offsets in the decompressed bytes.

Memory stays bounded whatever an archive unpacks to: output comes in pieces of the requested size (gzip), or from so
little input that it cannot be much (zstd: half a kilobyte holds at most 128 blocks of 128 KiB).
"""

from __future__ import annotations

import os
import zlib
from typing import Protocol

import zstandard

_RAW_BYTES = 1 << 16
_ZSTD_BYTES = 1 << 9
_ZSTD_WINDOW = 1 << 27


class BrokenStreamError(Exception):
    """Raised when an archive cannot be unpacked any further. `reason` is `truncated` or `corrupt`."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


class ByteStream(Protocol):
    """The bytes of a file that may still grow."""

    @property
    def unpacks(self) -> bool:
        """Whether these are not the bytes of the file itself."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none if the file has no more at the moment.

        Raises BrokenStreamError after the last byte that can be read.
        """

    def seek(self, offset: int) -> int:
        """Go to an offset in the decompressed bytes, or to where they end or break before it. Return where that is."""

    @property
    def complete(self) -> bool:
        """Whether the file may end here: not in the middle of an archive."""

    @property
    def consumed(self) -> int:
        """How many bytes of the file itself were used up."""


class PlainStream:
    """The bytes of a file as they are."""

    complete = True
    unpacks = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.consumed = 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self.consumed)
        self.consumed += len(data)
        return data

    def seek(self, offset: int) -> int:
        self.consumed = min(offset, os.fstat(self._descriptor).st_size)
        return self.consumed


class FromStart:
    """What streams share that can only be read from their start on: seeking by reading all again."""

    unpacks = True

    def _restart(self) -> None:
        self._offset = 0  # of the bytes returned

    def read(self, size: int) -> bytes:
        data = self._unpack(size)
        self._offset += len(data)
        return data

    def seek(self, offset: int) -> int:
        if offset < self._offset:
            self._restart()
        try:
            while self._offset < offset and self.read(min(_RAW_BYTES, offset - self._offset)):
                pass
        except BrokenStreamError:
            pass  # the next read raises it again
        return self._offset

    def _unpack(self, size: int) -> bytes:
        """Return the next bytes, as `read` does."""
        raise NotImplementedError


class _Unpacking(FromStart):
    """What unpacking streams share: reading raw bytes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._restart()

    def _restart(self) -> None:
        super()._restart()
        self._raw = 0  # offset in the file
        self._input = b""

    @property
    def consumed(self) -> int:
        return self._raw - len(self._input)

    def _refill(self, size: int) -> bool:
        """Read raw bytes if none are left; False at the end of the file."""
        if not self._input:
            self._input = os.pread(self._descriptor, size, self._raw)
            self._raw += len(self._input)
        return bool(self._input)


class GzipStream(_Unpacking):
    """A gzip file of any number of members (RFC 1952)."""

    def _restart(self) -> None:
        super()._restart()
        self._member: zlib._Decompress | None = None

    @property
    def complete(self) -> bool:
        return self._member is None and not self._input

    def _unpack(self, size: int) -> bytes:
        while True:
            at_end = not self._refill(_RAW_BYTES)
            member = self._member = self._member or self._next_member()
            data = self._inflate(member, size) if member is not None else b""
            if data or at_end:
                return data

    def _next_member(self) -> zlib._Decompress | None:
        """Start the next member; None if there is none, or only the zero padding that may follow one."""
        if self.consumed > 0:
            self._input = self._input.lstrip(b"\0")
        return zlib.decompressobj(wbits=31) if self._input else None

    def _inflate(self, member: zlib._Decompress, size: int) -> bytes:
        before = member.copy()
        try:
            data = member.decompress(self._input, size)
        except zlib.error as error:
            data = self._rescue(before, size)
            if data:
                return data
            raise BrokenStreamError("corrupt", f"the gzip data is damaged: {error}") from error
        self._input = member.unconsumed_tail
        if member.eof:
            self._input, self._member = member.unused_data.lstrip(b"\0"), None
        return data

    def _rescue(self, member: zlib._Decompress, size: int) -> bytes:
        """Return the bytes before the damage: zlib drops them unless it is fed byte by byte."""
        data = b""
        while self._input and len(data) < size:
            before = member.copy()
            try:
                data += member.decompress(self._input[:1], size - len(data))
            except zlib.error:
                member = before
                break
            self._input = member.unconsumed_tail + self._input[1:]
        self._member = member
        return data


class ZstdStream(_Unpacking):
    """A Zstandard file of any number of frames (RFC 8878)."""

    def _restart(self) -> None:
        super()._restart()
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._output = memoryview(b"")
        self._damage: str | None = None

    @property
    def complete(self) -> bool:
        return self._frame is None and not self._input and not self._output

    def _unpack(self, size: int) -> bytes:
        while not self._output:
            if self._damage is not None:
                raise BrokenStreamError("corrupt", f"the zstd data is damaged: {self._damage}")
            if not self._refill(_ZSTD_BYTES):
                return b""
            self._decompress()
        data = bytes(self._output[:size])
        self._output = self._output[size:]
        return data

    def _decompress(self) -> None:
        if self._frame is None:
            self._frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        try:
            self._output = memoryview(self._frame.decompress(self._input))
        except zstandard.ZstdError as error:
            self._damage = str(error)
            return
        self._input = b""
        if self._frame.eof:
            self._input, self._frame = self._frame.unused_data, None


def open_stream(descriptor: int, packing: str) -> ByteStream:
    """Return the byte stream of an open file that is packed like this."""
    if packing == ".gz":
        return GzipStream(descriptor)
    if packing == ".zst":
        return ZstdStream(descriptor)
    return PlainStream(descriptor)


def packing_of(name: str) -> str:
    """Return how a file is packed, by the suffix of its name; nothing if it is not."""
    return next((suffix for suffix in (".gz", ".zst") if name.endswith(suffix)), "")
