"""A terminal that takes no output: what is printed there waits or is dropped, and whoever prints goes on."""

from __future__ import annotations

import os
import pty
import select
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from learnd.daemon.operate.display import Display, Standing
from learnd.daemon.operate.terminal import is_behind, never_waiting


@contextmanager
def on_a_terminal() -> Iterator[int]:
    """Let `sys.stderr` be a terminal, and yield its other end."""
    far, near = pty.openpty()
    termios.tcsetattr(near, termios.TCSANOW, _raw(near))
    before = sys.stderr
    with open(near, "w", encoding="utf-8") as stream:  # noqa: PTH123  (a descriptor)
        sys.stderr = stream
        try:
            yield far
        finally:
            sys.stderr = before
    os.close(far)


def _raw(terminal: int) -> list[Any]:
    attributes = termios.tcgetattr(terminal)
    attributes[1] &= ~termios.OPOST  # a line ends as it was printed
    return attributes


def flow(action: int) -> None:
    termios.tcflow(sys.stderr.fileno(), action)


def read(terminal: int, length: int) -> bytes:
    data = b""
    while len(data) < length:
        data += os.read(terminal, length - len(data))
    return data


def test_what_a_terminal_takes_comes_whole_and_in_order() -> None:
    with on_a_terminal() as terminal:
        before = sys.stderr
        with never_waiting():
            for number in range(100):
                print(number, file=sys.stderr)
            within = sys.stderr
        assert sys.stderr is before
        print("who has kept it", file=within)
        assert read(terminal, 306) == "".join(f"{number}\n" for number in (*range(100), "who has kept it")).encode()


def test_a_long_text_comes_whole() -> None:
    text = "x" * 100_000
    with on_a_terminal() as terminal, never_waiting():
        sys.stderr.write(text)
        assert read(terminal, len(text)) == text.encode()


def test_a_terminal_that_takes_nothing_holds_nobody_and_is_told_what_it_missed() -> None:
    with on_a_terminal() as terminal, structlog.testing.capture_logs() as lines:
        with never_waiting(), Display() as display:
            flow(termios.TCOOFF)
            for _ in range(200):
                sys.stderr.write("x" * 999 + "\n")
            sys.stderr.write("small\n")
            assert is_behind(sys.stderr)
            display.update(Standing(samples=123_456, samples_per_second=1.0))
            flow(termios.TCOON)
            got = b""
            while not lines:
                if select.select([terminal], [], [], 0.05)[0]:
                    got += os.read(terminal, 1 << 16)
        (line,) = lines
        assert (line["event"], line["log_level"]) == ("terminal_behind", "warning")
        assert line["missing"] >= 100
        assert b"small" not in got, "there is one gap"
        assert b"123,456" not in got
        while b"123,456" not in got:  # the display ends with what is newest
            got += os.read(terminal, 1 << 16)


def test_what_a_terminal_missed_is_told_also_at_the_very_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    class Slow:
        def warning(self, _event: str, *, missing: int, reason: str) -> None:
            time.sleep(0.1)
            told.append(missing)
            sys.stderr.write(f"{reason}\n")

    monkeypatch.setattr("learnd.daemon.operate.terminal.log", Slow())
    with on_a_terminal() as terminal:
        with never_waiting():
            flow(termios.TCOOFF)
            for _ in range(100):
                sys.stderr.write("x" * 1000)
            flow(termios.TCOON)
            got = read(terminal, 60_000)
        assert told != []
        while not got.endswith(b"for a while\n"):
            got += os.read(terminal, 1 << 16)


def test_an_output_that_was_closed_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with on_a_terminal(), never_waiting():
        assert sys.stdout is None


def test_a_terminal_that_takes_nothing_to_the_end_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnd.daemon.operate.terminal._PATIENCE_S", 0.05)
    with on_a_terminal() as terminal:
        with never_waiting():
            flow(termios.TCOOFF)
            print("during", file=sys.stderr)
        print("after", file=sys.stderr)
        assert is_behind(sys.stderr)
        flow(termios.TCOON)
        assert read(terminal, 13) == b"during\nafter\n"


def test_a_terminal_that_is_gone_is_no_error() -> None:
    with on_a_terminal() as terminal, never_waiting():
        os.dup2(os.open(os.devnull, os.O_RDONLY), terminal)
        print("for nobody", file=sys.stderr)
