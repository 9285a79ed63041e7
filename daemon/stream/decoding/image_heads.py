"""What the first bytes of an image file say, before anything is decoded of it."""

from __future__ import annotations

HEAD_BYTES = 30
"""What has to be given of a file."""


def is_image(head: bytes) -> bool:
    """Return whether a file begins as a JPEG, PNG or WebP file does."""
    return head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or _is_webp(head)


def canvas(head: bytes) -> tuple[int, int] | None:
    """Return the width and the height of a WebP file, for which its decoder takes memory as soon as it opens it.

    None of another file, or of one that no decoder takes. See RFC 9649, sections 2.5 to 2.7.
    """
    kind = head[12:16] if _is_webp(head) and len(head) >= HEAD_BYTES else b""
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        sides = int.from_bytes(head[21:25], "little")
        return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def _is_webp(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"
