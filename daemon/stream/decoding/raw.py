"""Records that are one value as it is: a file, or a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

from learnd.daemon.stream.decoding.mappings import MappingParser
from learnd.daemon.stream.decoding.parsing import Defects, Rows
from learnd.daemon.values import CONTENT, FOLDER, RecordBatch


class RawParser:
    """Gives each record the field `content`, its value, and `folder`, what is before the first slash of its key.

    A value that is a mapping already has its fields.
    """

    def __init__(self, mappings: MappingParser) -> None:
        self._mappings = mappings

    def parse(self, batch: RecordBatch, defects: Defects) -> Rows:
        values: Sequence[Any] = batch.values
        pairs = zip(values, batch.keys or repeat(None), strict=False)
        found = [value if isinstance(value, Mapping) else _fields(value, key) for value, key in pairs]
        return self._mappings.parse(replace(batch, values=found), defects)


def _fields(value: bytes, key: bytes | None) -> dict[str, Any]:
    folder, slash, _ = (key or b"").partition(b"/")
    try:
        return {CONTENT: value, FOLDER: folder.decode()} if slash else {CONTENT: value}
    except UnicodeDecodeError:
        return {CONTENT: value}
