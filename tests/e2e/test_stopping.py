"""Stopped by signals at every stage: exit code 0, and the next start makes the same model."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from command import Command
from processes import ROOT, Daemon, Zygote, history, killed, succeeded, summary
from streams import RECORDS, prepare


def stopped_at(zygote: Zygote, folder: Path, failpoints: str, *arguments: str) -> Daemon:
    """Return a daemon that has come to a failpoint with the action `stop`."""
    daemon = zygote.start(folder, "run", "learnd.yaml", *arguments, failpoints=failpoints)
    daemon.wait_until_stopped()
    return daemon


def stopped_on_a_terminal(zygote: Zygote, folder: Path) -> tuple[Daemon, int, int]:
    """Return a daemon that was started on a terminal and has trained twenty calls, and both ends of the terminal."""
    terminal, its_end = pty.openpty()
    environment = {**os.environ, "LEARND_FAILPOINTS": "loop.call.after=stop@20"}
    command = Command(zygote.socket, ["run", "learnd.yaml"], str(folder), environment, [its_end] * 3)
    daemon = Daemon(command, Path(os.devnull), Path(os.devnull))
    daemon.wait_until_stopped()
    return daemon, terminal, its_end


def stopped_without_its_terminal(zygote: Zygote, folder: Path) -> Daemon:
    """Return a daemon that was started on a terminal, has trained twenty calls, and whose terminal was closed then."""
    daemon, *ends = stopped_on_a_terminal(zygote, folder)
    for end in ends:
        os.close(end)
    return daemon


def signal_and_continue(daemon: Daemon, number: signal.Signals) -> None:
    daemon.signal(number)
    daemon.signal(signal.SIGCONT)


def resumed_digest(zygote: Zygote, folder: Path) -> str:
    result: str = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()["digest"]
    return result


def test_a_signal_leaves_a_checkpoint_of_where_it_stopped(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    daemon = stopped_at(zygote, folder, "loop.call.after=stop@20", "--json")
    signal_and_continue(daemon, signal.SIGTERM)
    result = succeeded(daemon.wait())
    trained = result.json()["samples_trained"]
    assert 0 < trained < RECORDS
    assert "stopping" in result.stderr
    newest = history(folder / "state", "checkpoint")[-1]
    assert (newest["samples"], newest["digest"]) == (trained, result.json()["digest"])
    assert resumed_digest(zygote, folder) == digest


def test_a_second_signal_stops_at_once_even_where_the_disk_hangs(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    daemon = stopped_at(zygote, folder, "loop.call.after=stop@20,checkpoint.before=hang@2")
    signal_and_continue(daemon, signal.SIGTERM)
    daemon.wait_for(lambda: "stopping" in daemon.stderr, "to say that it stops")
    daemon.signal(signal.SIGINT)
    assert "stopped at once" in succeeded(daemon.wait()).stderr
    assert history(folder / "state", "checkpoint")[-1]["samples"] == 0
    assert resumed_digest(zygote, folder) == digest


def test_a_stop_that_takes_too_long_ends_by_itself(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    failpoints = "loop.call.after=stop@20,checkpoint.write=hang@3"
    daemon = stopped_at(zygote, folder, failpoints, "--set", "shutdown_timeout_s=0.5")
    signal_and_continue(daemon, signal.SIGTERM)
    result = daemon.wait()
    assert result.code == 70
    assert "shutdown_timeout_s" in result.stderr
    assert "Nothing is lost" in result.stderr
    assert resumed_digest(zygote, folder) == digest


def test_a_signal_while_starting_and_while_repeating_the_journal(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    daemon = stopped_at(zygote, folder, "journal.segment.before=stop@1", "--json")
    signal_and_continue(daemon, signal.SIGTERM)
    assert succeeded(daemon.wait()).json()["samples_trained"] == 0

    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="loop.call.after=kill@30"))
    daemon = stopped_at(zygote, folder, "loop.updated=stop@3", "--json")
    signal_and_continue(daemon, signal.SIGTERM)
    result = succeeded(daemon.wait())
    assert "while repeating the journal" in result.stderr
    assert "Nothing was changed" in result.stderr
    assert resumed_digest(zygote, folder) == digest
    assert summary(folder / "state")["samples_trained"] == RECORDS


def test_a_signal_while_python_still_imports() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "learnd", "--help"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("structlog" in line for line in process.stderr)  # imported by the command, among the first
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert rest.endswith("learnd: stopped; there was nothing to finish\n")


def test_a_closed_terminal_leaves_a_checkpoint(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    daemon = stopped_without_its_terminal(zygote, folder)
    daemon.signal(signal.SIGHUP)
    signal_and_continue(daemon, signal.SIGCONT)
    succeeded(daemon.wait())
    assert 0 < history(folder / "state", "checkpoint")[-1]["samples"] < RECORDS
    assert resumed_digest(zygote, folder) == digest


def test_a_terminal_that_goes_away_without_a_word(zygote: Zygote, digest: str, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run")
    daemon = stopped_without_its_terminal(zygote, folder)
    daemon.signal(signal.SIGCONT)
    succeeded(daemon.wait())
    assert summary(folder / "state")["digest"] == digest


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_that_takes_no_output_holds_neither_the_training_nor_a_stop(
    zygote: Zygote, digest: str, tmp_path: Path, stopped: bool
) -> None:
    folder = prepare(tmp_path / "run")
    daemon, terminal, its_end = stopped_on_a_terminal(zygote, folder)
    termios.tcflow(its_end, termios.TCOOFF)  # as Ctrl-S does
    if stopped:
        daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGCONT)
    succeeded(daemon.wait())
    assert (history(folder / "state", "checkpoint")[-1]["samples"] < RECORDS) == stopped
    assert resumed_digest(zygote, folder) == digest
    for end in (terminal, its_end):
        os.close(end)


SLOW = """
import time
import keras, numpy as np, tensorflow as tf

def pause():
    time.sleep(0.03)
    return np.float32(0)

class Slow(keras.Sequential):
    def train_step(self, data):
        with tf.control_dependencies([tf.numpy_function(pause, [], tf.float32)]):
            return super().train_step(data)

def build(spec):
    return Slow([keras.Input((spec.width,)), keras.layers.Dense(1, activation="sigmoid")])
"""

SLOW_SETTINGS = """
model: {build: "slow:build"}
source: {files: {path: stream.jsonl}}
samples: {features: {a: float}, label: y}
drift: []
http: {listen: null}
shutdown_timeout_s: 15
"""


def test_a_stop_during_a_backlog_of_slow_updates_is_clean(zygote: Zygote, tmp_path: Path) -> None:
    """At thirty updates a second, 4,096 of them would take two minutes."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "learnd.yaml").write_text(SLOW_SETTINGS)
    (tmp_path / "stream.jsonl").write_text("".join(json.dumps({"a": i % 7, "y": i % 2}) + "\n" for i in range(6000)))
    daemon = zygote.start(tmp_path, "run", "learnd.yaml", "--json")
    daemon.wait_for(lambda: "consuming" in daemon.stderr, "to train")
    daemon.wait_for(lambda: journaled(tmp_path / "state") > 2, "to train some calls")
    daemon.signal(signal.SIGTERM)
    assert succeeded(daemon.wait()).json()["samples_trained"] < 1000


def journaled(state: Path) -> int:
    """Return how many lines the journal has."""
    return sum(len(path.read_text().splitlines()) for path in state.glob("journal/*.log"))
