"""Signals, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_a_second_signal_stops_at_once_also_while_a_terminal_does_not_take_the_answer_to_the_first() -> None:
    before = "import pty, termios, threading, time; ends = pty.openpty(); os.dup2(ends[1], 2)"
    blocked = "termios.tcflow(2, termios.TCOOFF)"
    again = "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()"
    during = f"{blocked}; {again}; os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)"
    assert run(before, during) == (0, "", "")


def test_a_signal_ends_also_a_process_that_may_start_no_threads() -> None:
    before = "import threading, time; threading._start_new_thread = lambda *_: exec('raise RuntimeError')"
    assert run(f"{before}; stop_at_once(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", "") == (0, "", "")


def test_a_second_hangup_does_not_cut_the_clean_stop_short() -> None:
    code, stopped, _ = run("", "[os.kill(os.getpid(), signal.SIGHUP) for _ in range(2)]")
    assert (code, stopped) == (0, "True")


def test_a_hangup_that_nohup_has_ignored_stays_ignored() -> None:
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN); stop_at_once()"
    assert run(ignored, "os.kill(os.getpid(), signal.SIGHUP)") == (0, "False", "")
    assert run(ignored, "print(stop.ignores_hangup)") == (0, "True\nFalse", "")
    assert run("", "print(stop.ignores_hangup)") == (0, "False\nFalse", "")


RELOADING = """
import os, pty, signal, sys
from learnd.daemon.operate.signals import StopSignal, stop_at_once
pid, terminal = pty.fork() if {on_a_terminal} else (0, None)
if pid:
    while True:  # until the terminal is closed
        try:
            sys.stdout.write(os.read(terminal, 1000).decode())
        except OSError:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
with StopSignal(30, reloads=True) as stop:
    {during}
    print(stop.reload_asked(), stop.reload_asked(), stop(), flush=True)
"""


def reloading(during: str, *, on_a_terminal: bool = False) -> tuple[int, str]:
    script = RELOADING.format(during=during, on_a_terminal=on_a_terminal)
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("on_a_terminal", [False, True])
def test_a_hangup_of_no_terminal_asks_for_one_reload_and_stops_nothing(on_a_terminal: bool) -> None:
    during = "[os.kill(os.getpid(), signal.SIGHUP) for _ in range(2)]"
    assert reloading(during, on_a_terminal=on_a_terminal) == (0, "True False False")


CLOSING = """
import os, pty, signal, sys
from learnd.daemon.operate.signals import StopSignal
pid, terminal = pty.fork()
if pid:
    os.read(terminal, 1)
    os.close(terminal)
    os.waitpid(pid, 0)
    sys.exit()
told = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
with StopSignal(30, reloads=True) as stop:
    os.dup2(told, 2)
    {redirected}
    print("x", flush=True, file=open("/dev/tty", "w"))
    while not stop():
        {meanwhile}
    os.write(told, str((stop.reload_asked(), stop())).encode())
"""


@pytest.mark.parametrize("redirected", ["pass", "os.dup2(told, 1)"])
@pytest.mark.parametrize("meanwhile", ["pass", "stop.reload_asked()"])
def test_a_terminal_that_closes_stops_also_where_a_reload_is_possible(
    redirected: str, meanwhile: str, tmp_path: Path
) -> None:
    script = CLOSING.format(redirected=redirected, meanwhile=meanwhile)
    command = [sys.executable, "-c", script, tmp_path / "told"]
    subprocess.run(command, cwd=ROOT, check=True, start_new_session=True)
    assert (tmp_path / "told").read_text().endswith("(False, True)")


def test_a_hangup_of_no_terminal_while_the_command_loads_ends_nothing() -> None:
    script = "import os, signal; from learnd.daemon.operate.signals import stop_at_once; stop_at_once(); {}; print(1)"
    early = script.format("os.kill(os.getpid(), signal.SIGHUP)")
    command = [sys.executable, "-c", early]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_stop_takes_as_long_as_the_last_settings_allow() -> None:
    code, _, answer = run("import time", "stop.timeout_s = 0.1; os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)")
    assert code == 70
    assert "longer than shutdown_timeout_s (0.1 s)" in answer
