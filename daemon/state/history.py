"""The history: a JSON line for each score and event, in sample order."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Event, Facts

HISTORY_FILE = "scores.jsonl"
"""The history's name in the state directory."""


_BLOCK = 1 << 16


def newest_first(path: Path, kind: str, most_bytes: int = 1 << 62) -> Iterator[Facts]:
    """Yield the lines about events of a kind, from the end of a history on; none if there is no file.

    A line that is still being written is left out. Memory is bounded, however long the history is. About `most_bytes`
    of it are read.
    """
    mark = f'"event": "{kind}"'.encode()
    for line in _lines_backwards(path, most_bytes):
        if mark in line and line.endswith(b"}"):
            found: Facts = json.loads(line)
            if found["event"] == kind:
                yield found


def oldest_first(path: Path) -> Iterator[Facts]:
    """Yield the lines of a history; none if there is no file. A line that is still being written is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"}\n"):
                yield json.loads(line)


def _lines_backwards(path: Path, most_bytes: int) -> Iterator[bytes]:
    """Yield the lines that have an end, the last one first."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        at, begun, ends_a_line = file.seek(0, os.SEEK_END), b"", False
        until = max(at - most_bytes, 0)
        while at > until:
            size = min(_BLOCK, at)
            at = file.seek(at - size)
            begun, *whole = (file.read(size) + begun).split(b"\n")
            if whole and not ends_a_line:
                del whole[-1]  # what is behind the last line feed
                ends_a_line = True
            yield from reversed(whole)
        if ends_a_line and at == 0:
            yield begun


class History(AppendFile):
    """The file of scores and events in the state directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "history")

    def write(self, events: Iterable[Event], time_s: float) -> None:
        """Append a line for each event. `time_s` is Unix time. Raises ValueError for values that JSON cannot hold."""
        time = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.append(b"".join(_line(event, time) for event in events))


def _line(event: Event, time: str) -> bytes:
    line = {"samples": event.samples, "event": event.kind, "time": time, **event.data}
    # a lone surrogate, which no encoding has, becomes its escape
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace") + b"\n"
