"""Runs daemons that die, and looks at what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KILLED = -signal.SIGKILL


class Zygote:
    """A process that starts `learnd` commands without importing TensorFlow anew each time."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def start(self, folder: Path, arguments: Sequence[str], failpoints: str = "") -> int:
        """Start a command in a folder and return its process number; `wait` comes next."""
        request = {
            "arguments": list(arguments),
            "failpoints": failpoints,
            "output": str(folder / "output.txt"),
            "folder": str(folder),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["pid"])

    def wait(self) -> int:
        """Return the exit code; that of a signal is negative."""
        return int(self._answer()["status"])

    def run(self, folder: Path, arguments: Sequence[str], failpoints: str = "") -> int:
        self.start(folder, arguments, failpoints)
        return self.wait()

    def close(self) -> None:
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the zygote has died"
        answer: dict[str, Any] = json.loads(line)
        return answer


def kill_after(pid: int, state: Path, seconds: float, samples_file: str = "journal") -> None:
    """Kill a daemon some seconds after it has begun to write its journal, if it still runs then."""
    before = _journal_size(state / samples_file)
    deadline = time.monotonic() + 60
    while _journal_size(state / samples_file) == before and time.monotonic() < deadline and _alive(pid):
        time.sleep(0.005)
    time.sleep(seconds)
    if _alive(pid):
        os.kill(pid, signal.SIGKILL)


def summary(state: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((state / "summary.json").read_text())
    return result


def history(state: Path) -> list[dict[str, Any]]:
    """Return the lines of the history without the times at which they were written."""
    lines = [json.loads(line) for line in (state / "scores.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def dead_letters(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "dead-letters.jsonl").read_text().splitlines()]


def _journal_size(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.log"))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
