"""What a person sees while the daemon learns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

import structlog
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from learnd.daemon.operate.terminal import is_behind

log = structlog.get_logger("learnd")

_LINE_EVERY_S = 10.0
_IDLE_LINE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the daemon stands: what one look at the display shows. Scores are None until there are some."""

    samples: int
    samples_per_second: float
    loss: float | None = None
    metric: str = "accuracy"
    window: int = 1000
    window_score: float | None = None
    overall_score: float | None = None
    window_baselines: Mapping[str, float | None] = field(default_factory=dict)
    overall_baselines: Mapping[str, float | None] = field(default_factory=dict)
    rejected: int = 0
    checkpoint_samples: int | None = None  # how many were trained when it was made
    checkpoint_age_s: float | None = None
    done: float | None = None  # the share of the stream that was read, 0 to 1; None if its end is not known


class Display:
    """A context manager: a live display on a terminal, and elsewhere a log line now and then, rarer if nothing happens.

    `update` may be called as often as you like; four times a second is plenty. It shows nothing new on a terminal that
    has not yet taken what was shown before.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._told_s = clock()
        self._told: tuple[int | None, ...] = ()
        console = Console(file=self._stream)
        self._live = Live(console=console, auto_refresh=False) if self._stream.isatty() else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, standing: Standing) -> None:
        """Show this."""
        if self._live is not None:
            self._live.update(render(standing), refresh=not is_behind(self._stream))
            return
        now = self._clock()
        counts = (standing.samples, standing.rejected, standing.checkpoint_samples)
        if now - self._told_s >= (_LINE_EVERY_S if counts != self._told else _IDLE_LINE_EVERY_S):
            self._told_s, self._told = now, counts
            log.info("progress", **_fields(standing))


def render(standing: Standing) -> RenderableType:
    """Return what stands on the terminal."""
    speed = f"{standing.samples:,} samples   {standing.samples_per_second:,.0f}/s   loss {_score(standing.loss)}"
    parts: list[RenderableType] = [
        Text(speed, style="bold"),
        _scores(standing),
        Text(_checkpoint(standing), style="dim"),
    ]
    if standing.done is not None:
        parts.append(ProgressBar(total=1.0, completed=min(standing.done, 1.0), width=60))
    return Group(*parts)


def _scores(standing: Standing) -> Table:
    """Return the score over a window and overall, and the baselines beside it."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(standing.metric)
    for heading in (f"last {standing.window:,}", "overall"):
        table.add_column(heading, justify="right")
    table.add_row("model", _score(standing.window_score), _score(standing.overall_score), style="bold green")
    for name, overall in standing.overall_baselines.items():
        table.add_row(name, _score(standing.window_baselines.get(name)), _score(overall))
    return table


def _checkpoint(standing: Standing) -> str:
    if standing.checkpoint_samples is None:
        checkpoint = "no checkpoint yet"
    else:
        age = "" if standing.checkpoint_age_s is None else f", {standing.checkpoint_age_s:.0f} s ago"
        checkpoint = f"checkpoint at {standing.checkpoint_samples:,}{age}"
    return f"{checkpoint}   {standing.rejected:,} rejected" if standing.rejected else checkpoint


def _fields(standing: Standing) -> dict[str, object]:
    fields: dict[str, object] = {
        "samples": standing.samples,
        "samples_per_second": round(standing.samples_per_second),
        "loss": _rounded(standing.loss),
        standing.metric: _rounded(standing.window_score),
        f"{standing.metric}_overall": _rounded(standing.overall_score),
        **{name: _rounded(score) for name, score in standing.window_baselines.items()},
        "rejected": standing.rejected,
        "checkpoint": standing.checkpoint_samples,
    }
    if standing.done is not None:
        fields["done"] = _rounded(standing.done)
    return fields


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.4f}"
