from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.errors import StoreError
from daemon.evaluation.history import History
from daemon.values import Event


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


def test_a_resume_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    history = open_at(path, 0)
    history.write(events(1, 2), 0)
    mark = history.mark()
    history.sync()
    history.write(events(3), 0)
    history.close()
    resumed = open_at(path, mark)
    assert resumed.missing == 0
    resumed.write(events(30), 0)
    resumed.close()
    assert samples_in(path) == [1, 2, 30]


@pytest.mark.parametrize("torn", [b'{"samples": 3, "ev', b"x" * 200_000])
def test_a_torn_tail_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "scores.jsonl"
    history = open_at(path, 0)
    history.write(events(1, 2), 0)
    mark = history.mark()
    history.close()
    with path.open("ab") as file:
        file.write(torn)
    resumed = open_at(path, mark + len(torn))  # even where the mark is not the end of a line
    assert resumed.missing == len(torn)
    resumed.write(events(3), 0)
    resumed.close()
    assert samples_in(path) == [1, 2, 3]


def test_a_history_that_someone_removed_starts_anew_and_says_so(tmp_path: Path) -> None:
    history = open_at(tmp_path / "scores.jsonl", 500)
    assert history.missing == 500
    history.write(events(9), 0)
    history.close()
    assert samples_in(tmp_path / "scores.jsonl") == [9]


def test_a_value_that_json_cannot_hold_is_never_written(tmp_path: Path) -> None:
    history = open_at(tmp_path / "scores.jsonl", 0)
    with pytest.raises(ValueError, match="JSON"):
        history.write([*events(1), Event("score", 2, {"loss": float("nan")})], 0)
    history.close()
    assert samples_in(tmp_path / "scores.jsonl") == []


def test_a_place_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nowhere/scores\.jsonl cannot be opened: No such file"):
        History(tmp_path / "nowhere" / "scores.jsonl").open(0)


def test_a_write_that_the_disk_cuts_short_leaves_whole_lines(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from daemon.errors import StoreError
from daemon.evaluation.history import History
from daemon.values import Event

history = History(Path(sys.argv[1]))
history.open(0)
history.write([Event("score", 1, {})], 0)
limit = history.mark() + 20
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        history.write([Event("score", 2, {"text": "long"}), Event("score", 3, {})], 0)
    except StoreError as error:
        print(error)
        assert Path(sys.argv[1]).stat().st_size == history.mark()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
history.write([Event("score", 4, {})], 0)
history.sync()
"""
    path = tmp_path / "scores.jsonl"
    done = subprocess.run([sys.executable, "-c", script, path], check=True, capture_output=True, text=True)
    assert done.stdout.count("cannot be written: File too large") == 2
    assert samples_in(path) == [1, 4]


@pytest.mark.parametrize(("plan", "said"), [("history.write=enospc@2", "written"), ("history.sync=eio", "synced")])
def test_a_full_or_broken_disk_is_an_error_that_says_what_to_do(tmp_path: Path, plan: str, said: str) -> None:
    script = """
import sys
from pathlib import Path
from daemon.errors import StoreError
from daemon.evaluation.history import History
from daemon.values import Event

history = History(Path(sys.argv[1]))
history.open(0)
for samples in range(3):
    try:
        history.write([Event("score", samples, {})], 0)
        history.sync()
    except StoreError as error:
        print(error)
"""
    environment = os.environ | {"LEARND_FAILPOINTS": plan}
    path = tmp_path / "scores.jsonl"
    command = [sys.executable, "-c", script, path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert f"cannot be {said}" in done.stdout
    assert "free space or repair the volume" in done.stdout
    assert samples_in(path) == ([0, 2] if said == "written" else [0, 1, 2])


def test_a_kill_before_a_write_loses_nothing_before_it(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from daemon.evaluation.history import History
from daemon.values import Event

history = History(Path(sys.argv[1]))
history.open(0)
for samples in range(9):
    history.write([Event("score", samples, {})], 0)
"""
    path = tmp_path / "scores.jsonl"
    environment = os.environ | {"LEARND_FAILPOINTS": "history.write=kill@4"}
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert samples_in(path) == [0, 1, 2]
