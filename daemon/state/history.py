"""The history: a JSON line for each score and event, in sample order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from learnd.daemon.foundation.append_file import AppendFile
from learnd.daemon.values import Event

HISTORY_FILE = "scores.jsonl"
"""The history's name in the state directory."""


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
