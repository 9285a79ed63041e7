from __future__ import annotations

import io
from dataclasses import replace

import structlog
from rich.console import Console

from learnd.daemon.operate.display import Display, Standing, render

STANDING = Standing(
    samples=12_000,
    samples_per_second=345.6,
    loss=0.25,
    window=1000,
    window_score=0.91,
    overall_score=0.88,
    window_baselines={"no_change": 0.81},
    overall_baselines={"no_change": 0.8, "majority": 0.6},
    rejected=3,
    checkpoint_samples=10_000,
    checkpoint_age_s=4.2,
    done=0.5,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(standing: Standing) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(render(standing))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_look_shows_the_model_beside_the_baselines() -> None:
    text = shown(STANDING)
    rows = {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}
    assert rows["model"] == ["0.9100", "0.8800"]
    assert rows["no_change"] == ["0.8100", "0.8000"]
    assert rows["majority"] == ["-", "0.6000"]
    assert "12,000 samples   346/s   loss 0.2500" in text
    assert "checkpoint at 10,000, 4 s ago   3 rejected" in text


def test_before_the_first_score_there_are_dashes() -> None:
    text = shown(Standing(samples=0, samples_per_second=0.0))
    assert "loss -" in text
    assert "no checkpoint yet" in text


def test_a_terminal_gets_a_live_display_that_ends_with_the_last_state() -> None:
    terminal = Terminal()
    with Display(terminal) as display:
        display.update(Standing(samples=1, samples_per_second=1.0))
        display.update(STANDING)
    assert "12,000 samples" in terminal.getvalue().rpartition("model")[0][-400:]


def test_elsewhere_a_line_comes_now_and_then() -> None:
    now_s = [0.0]
    stream = io.StringIO()
    with structlog.testing.capture_logs() as lines, Display(stream, clock=lambda: now_s[0]) as display:
        for second in range(25):
            now_s[0] = float(second)
            display.update(replace(STANDING, samples=second))
    assert stream.getvalue() == ""
    assert len(lines) == 2
    assert lines[0]["accuracy"] == 0.91
    assert lines[0]["no_change"] == 0.81


def test_while_nothing_happens_a_line_comes_once_a_minute() -> None:
    now_s = [0.0]
    idle = [replace(STANDING, checkpoint_age_s=float(second), samples_per_second=0.0) for second in range(200)]
    with structlog.testing.capture_logs() as lines, Display(io.StringIO(), clock=lambda: now_s[0]) as display:
        seen = []
        for second, standing in enumerate(idle):
            now_s[0] = float(second)
            display.update(standing)
            seen.append(len(lines))
        display.update(replace(STANDING, rejected=4))
    assert [seen.index(count) for count in (1, 2, 3, 4)] == [10, 70, 130, 190]
    assert len(lines) == 4  # 9 s after the last one
