"""The history takes whatever text a person or a record gives it."""

import json
from pathlib import Path

from learnd.daemon.state.history import History, newest_first
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


def test_a_history_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    assert list(newest_first(path, "phase")) == []
    path.write_bytes(b'{"event": "phase"')
    assert list(newest_first(path, "phase")) == []
    kinds = ["phase", "score", "score", "drift", "score"]
    lines = [{"event": kinds[n % 5], "number": n, "pad": "x" * (n * 37 % 5_000)} for n in range(200)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"event": "phase", "number"')
    found = [line["number"] for line in newest_first(path, "phase")]
    assert found == list(range(195, -1, -5))
