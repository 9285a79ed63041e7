"""`learnd top`: what it shows of a daemon that answers, and of one that does not."""

from __future__ import annotations

import io
from collections import deque
from typing import Any

from rich.console import Console

from learnd.daemon.verbs.top import shown

LIVE: dict[str, Any] = {
    "samples_per_second": 1200.0, "lag": {"t/0": 3, "t/1": 4}, "lag_unit": "records", "loss": 0.25,
    "queued": 0, "alive": True,
    "learning_rate": 0.003, "rejected": 12, "metric": "accuracy", "window": 1000, "window_scores": {"accuracy": 0.9},
    "window_baselines": {"no_change": 0.5, "majority": None},
    "shares": {"updating": 0.6, "waiting": 0.4, "saving": 0.0},
    "drift": {"error": {"warning": 1, "confirmed": 2}},
}  # fmt: skip
FACTS: dict[str, Any] = {
    "state": "consuming", "process": 7, "url": "http://127.0.0.1:1", "answers": True, "paused": None, "samples": 5000,
    "phase": 0, "stopped_early": None, "contest": None, "checkpoint": None, "journal": None, "scores": {},
    "commands": [], "live": LIVE,
}  # fmt: skip


def text(facts: dict[str, Any], scores: deque[float]) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(shown(facts, scores))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_score_stands_beside_its_baselines_and_the_ones_before() -> None:
    told = text(FACTS, deque([0.5, 0.7]))
    for line in ("unread: 7 records", "▁▄█", "no_change", "0.5000", "12", "updating", "60%", "drift of error:"):
        assert line in told
    assert "saving" not in told


def test_what_keeps_a_daemon_from_being_ready_is_told() -> None:
    full = {**LIVE, "not_ready": "training waits: there is no room for the journal in /state"}
    assert "not ready    training waits: there is no room" in text({**FACTS, "live": full}, deque())
    assert "not ready" not in text({**FACTS, "live": {**full, "not_ready": None}}, deque())


def test_of_a_daemon_that_hangs_the_reason_is_told_and_no_speed() -> None:
    hangs = {**LIVE, "alive": False, "not_ready": "the loop has made no progress for 491 s"}
    told = text({**FACTS, "live": hangs}, deque())
    assert "not ready    the loop has made no progress for 491 s" in told
    assert "none any more; unread: 7 records" in told
    assert "samples/s" not in told


def test_what_is_read_and_waits_to_train_stands_beside_what_is_unread() -> None:
    told = text({**FACTS, "live": {**LIVE, "queued": 13_238}}, deque())
    assert "unread: 7 records; 13,238 samples wait in the queue" in told


def test_a_daemon_that_gives_no_answer_is_told_as_such() -> None:
    told = text({**FACTS, "state": "running", "answers": False, "live": None}, deque())
    assert "no answer    from http://127.0.0.1:1 within 3 s; what follows is from the directory" in told


def test_a_daemon_that_knows_nothing_yet_and_one_that_does_not_answer_are_shown() -> None:
    unknown = {**LIVE, "metric": None, "window": None, "window_scores": {}, "window_baselines": {}, "loss": None}
    assert "consuming" in text({**FACTS, "live": unknown}, deque())
    assert "not running" in text({**FACTS, "state": "not running", "answers": None, "live": None}, deque())
