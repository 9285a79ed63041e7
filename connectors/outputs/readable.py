"""Bytes in JSON."""

from __future__ import annotations

import base64


def readable(name: str, value: bytes) -> dict[str, str]:
    """Return bytes as text under `name`, or under `NAME_base64` if they are not UTF-8."""
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
