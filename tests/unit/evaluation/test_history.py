"""The history: a line for each event, and never one that cannot be read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnd.daemon.state.history import History
from learnd.daemon.values import Event


def events(*samples: int) -> list[Event]:
    return [Event("score", count, {"set": "prequential", "metrics": {"accuracy": 0.5}}) for count in samples]


def samples_in(path: Path) -> list[int]:
    return [json.loads(line)["samples"] for line in path.read_text().splitlines()]


def open_at(path: Path, mark: int) -> History:
    history = History(path)
    history.open(mark)
    return history


def test_a_line_says_how_many_samples_what_and_when(tmp_path: Path) -> None:
    history = open_at(tmp_path / "scores.jsonl", 0)
    history.write([Event("drift", 7, {"signal": "größe"})], 1_700_000_000.25)
    history.close()
    assert (tmp_path / "scores.jsonl").read_text(encoding="utf-8") == (
        '{"samples": 7, "event": "drift", "time": "2023-11-14T22:13:20.250Z", "signal": "größe"}\n'
    )


def test_a_value_that_json_cannot_hold_is_never_written(tmp_path: Path) -> None:
    history = open_at(tmp_path / "scores.jsonl", 0)
    with pytest.raises(ValueError, match="JSON"):
        history.write([*events(1), Event("score", 2, {"loss": float("nan")})], 0)
    history.close()
    assert samples_in(tmp_path / "scores.jsonl") == []
