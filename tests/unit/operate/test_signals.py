"""Signals, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from processes import ROOT

STOPPING = """
import os, signal
from learnd.daemon.operate.signals import StopSignal, stop_at_once
{before}
with StopSignal(30) as stop:
    {during}
    print(stop())
"""


def run(before: str, during: str) -> tuple[int, str, str]:
    script = STOPPING.format(before=before, during=during)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_and_is_answered_at_once_even_while_libraries_are_silenced(number: str) -> None:
    silenced = f"os.dup2(os.open(os.devnull, os.O_WRONLY), 2); os.kill(os.getpid(), signal.{number})"
    code, stopped, answer = run("", silenced)
    assert (code, stopped) == (0, "True")
    assert answer.startswith("learnd: stopping cleanly")


def test_a_second_hangup_does_not_cut_the_clean_stop_short() -> None:
    code, stopped, _ = run("", "[os.kill(os.getpid(), signal.SIGHUP) for _ in range(2)]")
    assert (code, stopped) == (0, "True")


def test_a_hangup_that_nohup_has_ignored_stays_ignored() -> None:
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN); stop_at_once()"
    assert run(ignored, "os.kill(os.getpid(), signal.SIGHUP)") == (0, "False", "")
