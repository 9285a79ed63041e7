"""The history takes whatever text a person or a record gives it."""

import json
from pathlib import Path

from learnd.daemon.state.history import History
from learnd.daemon.values import Event


def test_text_that_is_no_unicode_is_kept_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    history = History(path)
    history.open(None)
    why = "caf\udce9 \u00e9"  # what an argument in Latin-1 is, under UTF-8
    history.write([Event("command", 5, {"why": why})], 0.0)
    history.close()
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {"samples": 5, "event": "command", "time": "1970-01-01T00:00:00.000Z", "why": why}
