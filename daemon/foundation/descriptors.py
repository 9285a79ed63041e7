"""Writing to a descriptor that may be a terminal."""

from __future__ import annotations

import os


def write_out(descriptor: int, data: bytes) -> None:
    """Write all of it, or nothing more if the terminal is gone: that is no error."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return
