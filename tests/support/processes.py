"""Runs `learnd` as real processes, stops and kills them, and reads what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from command import Command

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parents[1]
KILLED = -signal.SIGKILL
_PATIENCE_S = 300.0

PROGRAMS = "LEARND_TESTS_PROGRAMS"
"""Names the folder where the daemons of a test run find what others have compiled. Unset, each compiles for itself."""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        """Return the object on standard output, which must hold nothing else."""
        value: dict[str, Any] = json.loads(self.stdout)
        return value


class Daemon:
    """A running `learnd`."""

    def __init__(self, command: Command, stdout: Path, stderr: Path) -> None:
        self.pid = command.pid
        self._command = command
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> Result:
        self.signal(signal.SIGKILL)
        return self.wait()

    def state(self) -> str:
        """Return the letter that the kernel has for it: R, S, T if it was stopped, Z if it has ended."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def wait_until_running(self) -> None:
        """Wait until it runs or sleeps: for a moment it may wait for a disk."""
        self.wait_for(lambda: self.state() in "SR", "to run on")

    def wait_until_stopped(self) -> None:
        """Wait for a failpoint with the action `stop`."""
        self.wait_for(lambda: self.state() == "T", "to be stopped")

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something that must happen while the daemon runs."""
        deadline = time.monotonic() + _PATIENCE_S
        looked = time.monotonic()
        while not happened():
            ended = self.state() == "Z"
            assert not ended or happened(), f"it ended and was expected {what}:\n{self.stderr}"
            assert time.monotonic() < deadline, f"it was expected {what}:\n{self.stderr}"
            time.sleep(min(0.5, max(0.01, 5 * (time.monotonic() - looked))))  # to look is to take time from the daemon
            looked = time.monotonic()

    def wait(self) -> Result:
        """Wait for its end. The test fails if it hangs."""
        try:
            code = self._command.wait(_PATIENCE_S)
        except TimeoutError as error:
            raise AssertionError(f"it hangs:\n{self.stderr}") from error
        finally:
            self._command.close()
        return Result(code, self._stdout.read_text(), self._stderr.read_text())


class Zygote:
    """A process that starts `learnd` commands without importing TensorFlow again each time."""

    def __init__(self, environment: Mapping[str, str] | None = None, code: Path = ROOT) -> None:
        """`environment` is added to this process's environment, for the zygote and its commands; they find `code`
        first of all that Python imports."""
        self._started: list[Daemon] = []  # kept even if the test drops them: they run until waited for
        self._environment = environment or {}
        self._code = str(code)
        self._process = subprocess.Popen(
            [sys.executable, "-P", SUPPORT / "zygote.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                **self._environment,
                **_shared_programs(),
                "PYTHONPATH": self._code,
                "PYTHONHASHSEED": "random",
            },
            start_new_session=True,  # Ctrl-C is for the test process; this one ends with it
            text=True,
        )

    def close(self) -> None:
        """End it, and with it the commands that still run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    @cached_property
    def socket(self) -> str:
        """The path of its socket, once it has imported TensorFlow."""
        assert self._process.stdout is not None
        path = self._process.stdout.readline().rstrip("\n")
        assert path, f"the zygote has ended with {self._process.wait()}"
        return path

    def start(
        self,
        folder: Path,
        *arguments: str | Path,
        failpoints: str = "",
        stdin: Path = Path(os.devnull),
        memory: int | None = None,
    ) -> Daemon:
        """Start a command in a folder. It also finds the modules of tests/support."""
        number = len(self._started) + 1
        outputs = [folder / f".{number:04d}.{name}" for name in ("stdout", "stderr")]
        environment = {
            **os.environ,
            **self._environment,
            "PYTHONPATH": os.pathsep.join([self._code, str(SUPPORT)]),
            "LEARND_FAILPOINTS": failpoints,
        }
        with stdin.open("rb") as given, outputs[0].open("ab") as stdout, outputs[1].open("ab") as stderr:
            descriptors = [file.fileno() for file in (given, stdout, stderr)]
            command = Command(
                self.socket, [str(argument) for argument in arguments], str(folder), environment, descriptors, memory
            )
        self._started.append(Daemon(command, *outputs))
        return self._started[-1]

    def run(self, folder: Path, *arguments: str | Path, **options: Any) -> Result:
        """Run a command to its end, successful or not."""
        return self.start(folder, *arguments, **options).wait()


def _shared_programs() -> dict[str, str]:
    """Return what a zygote needs so that its commands share programs: TensorFlow reads where to look as it loads."""
    return {"TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=/proc/self/fd/900"} if PROGRAMS in os.environ else {}


@cache
def shared_zygote() -> Zygote:
    """Return the zygote of this test run. It ends when its standard input closes, that is, with the test process."""
    return Zygote()


def succeeded(result: Result) -> Result:
    """Return the result of a command that must have succeeded."""
    assert result.code == 0, f"exit code {result.code}:\n{result.stdout}{result.stderr}"
    return result


def refused(result: Result, code: int) -> str:
    """Return the message of a command that must have ended with this exit code and without a traceback."""
    assert result.code == code, f"exit code {result.code}:\n{result.stdout}{result.stderr}"
    assert "Traceback" not in result.stderr
    assert "learnd: " in result.stderr, result.stderr
    return result.stderr.partition("learnd: ")[2]


def killed(result: Result) -> None:
    assert result.code == KILLED, f"exit code {result.code}:\n{result.stdout}{result.stderr}"


def whole_and_killed(
    zygote: Zygote,
    whole: Path,
    folder: Path,
    *failpoints: str,
    command: Sequence[str] = ("run", "learnd.yaml", "--json"),
) -> tuple[Any, Any]:
    """Run one folder to its end; run its like, killed at each failpoint, to its end. Return the summaries of both."""
    expected = succeeded(zygote.run(whole, *command)).json()
    for failpoint in failpoints:
        killed(zygote.run(folder, *command, failpoints=failpoint))
    return expected, succeeded(zygote.run(folder, *command)).json()


def kill_after(daemon: Daemon, state: Path, seconds: float) -> Result:
    """Kill a daemon `seconds` after it has begun a new journal segment, unless it has ended before."""

    def segments() -> int:
        return sum(1 for _ in (state / "journal").glob("*.log"))

    before = segments()
    deadline = time.monotonic() + _PATIENCE_S
    while segments() == before and daemon.state() != "Z" and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(seconds)
    return daemon.kill()


def summary(state: Path) -> dict[str, Any]:
    """Return the summary without the values that depend on the machine's speed or on kills."""
    result: dict[str, Any] = json.loads((state / "summary.json").read_text())
    del result["seconds"], result["samples"], result["samples_per_second"]
    return result


def history(state: Path, event: str = "score") -> list[dict[str, Any]]:
    """Return the history's events of one kind, without the times at which they were written."""
    lines = [json.loads(line) for line in (state / "scores.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines if line["event"] == event]


def consumed(state: Path) -> int:
    """Return the sum of the newest checkpoint's positions. A checkpoint that is still being written does not count."""
    newest = max((state / "checkpoints").glob("[0-9]*"), default=None)
    return 0 if newest is None else sum(json.loads((newest / "manifest.json").read_text())["positions"].values())


def dead_letters(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "dead-letters.jsonl").read_text().splitlines()]
