"""The records of TensorBoard's event files: messages of protocol buffers, each framed by its length and two checksums.

Of the messages there are the few fields that scalars and texts need. Their numbers are those of TensorFlow's
`event.proto`, `summary.proto` and `tensor.proto`.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping

from crc32c import crc32c

_HEAD = struct.Struct("<QI")  # the length of the message, and the checksum of it
_CHECKSUM = struct.Struct("<I")
_BLOCK = 1 << 20

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # how the value of a field is encoded
_STRING = 7  # the type of a tensor


def beginning(time_s: float) -> bytes:
    """Return the first record of a file, by which readers know what it is."""
    return _framed(_event(time_s, 0, _bytes(3, b"brain.Event:2")))


def scalars(time_s: float, step: int, values: Mapping[str, float]) -> bytes:
    """Return a record of numbers by their tags. They are kept in 32 bits, as TensorBoard shows them."""
    numbers = (_bytes(1, tag.encode()) + _key(2, _FIXED32) + _float32(value) for tag, value in values.items())
    return _framed(_event(time_s, step, _summary(*numbers)))


def text(time_s: float, step: int, tag: str, words: str) -> bytes:
    """Return a record of a text, which TensorBoard takes as Markdown."""
    tensor = _number(1, _STRING) + _bytes(8, words.encode(errors="backslashreplace"))
    metadata = _bytes(1, _bytes(1, b"text"))  # the plugin
    return _framed(_event(time_s, step, _summary(_bytes(1, tag.encode()) + _bytes(8, tensor) + _bytes(9, metadata))))


def whole_records(descriptor: int, size: int) -> int:
    """Return the offset after the last record that ends within the first `size` bytes of a file. Raises OSError.

    All before it are looked at, since a record does not tell where it begins.
    """
    end, at, block = 0, 0, b""  # the block begins at `at`
    while end + _HEAD.size <= size:
        if end + _HEAD.size > at + len(block):
            at, block = end, os.pread(descriptor, _BLOCK, end)
        length, checksum = _HEAD.unpack_from(block, end - at)
        next_end = end + _HEAD.size + length + _CHECKSUM.size
        if next_end > size or checksum != _masked(block[end - at : end - at + 8]):
            break
        end = next_end
    return end


def _event(time_s: float, step: int, what: bytes) -> bytes:
    return _key(1, _FIXED64) + struct.pack("<d", time_s) + _number(2, step) + what


def _summary(*values: bytes) -> bytes:
    return _bytes(5, b"".join(_bytes(1, value) for value in values))


def _framed(message: bytes) -> bytes:
    length = struct.pack("<Q", len(message))
    return length + _CHECKSUM.pack(_masked(length)) + message + _CHECKSUM.pack(_masked(message))


def _masked(data: bytes) -> int:
    """Return the checksum as it is stored: what holds checksums may be checksummed itself."""
    plain = crc32c(data)
    return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _key(field: int, encoding: int) -> bytes:
    return _varint(field << 3 | encoding)


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    """Return a number from 0 on in groups of seven bits, the lowest first, each but the last marked."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _float32(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return struct.pack("<f", math.copysign(math.inf, value))
