"""`learnd top`: what `learnd status` tells, and more if the daemon answers, each second anew. Changes nothing."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from learnd.daemon.verbs.options import StateArgument
from learnd.daemon.verbs.status import facts_of, text_of

_EVERY_S = 1.0
_MOST_SCORES = 60
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST_BAR = 30

verb = typer.Typer()


@verb.command()
def top(directory: StateArgument) -> None:
    """Show what the daemon that keeps its state in DIR does, each second anew, until Ctrl-C."""
    scores: deque[float] = deque(maxlen=_MOST_SCORES)
    if not sys.stdout.isatty():
        Console().print(shown(facts_of(directory), scores))
        return
    with suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(shown(facts_of(directory), scores), refresh=True)
            time.sleep(_EVERY_S)


def shown(facts: Mapping[str, Any], scores: deque[float]) -> RenderableType:
    """Return what stands on the terminal; `scores` are those before, and get the newest."""
    now = facts["live"]
    if now is None:
        return Text(text_of(facts))
    score = now["window_scores"].get(now["metric"])
    if score is not None:
        scores.append(score)
    return Group(Text(text_of(facts)), Text(), _scores(now, scores), Text(), _time(now["shares"]), *_drifts(now))


def _scores(now: Mapping[str, Any], scores: Sequence[float]) -> Table:
    """Return the score of the window beside its baselines, and how it went since this began to look."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(f"{now['metric']}, last {now['window']:,}" if now["metric"] else "score")
    table.add_column("now", justify="right")
    table.add_column("since")
    table.add_row("model", _number(scores[-1] if scores else None), _line(scores), style="bold")
    for name, score in now["window_baselines"].items():
        table.add_row(name, _number(score), "")
    table.add_row("loss", _number(now["loss"]), "")
    table.add_row("learning rate", _number(now["learning_rate"]), "")
    table.add_row("rejected", f"{now['rejected']:,}", "")
    return table


def _time(shares: Mapping[str, float]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("the loop's time", "", ""):
        table.add_column(heading)
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        if share >= 0.005:
            table.add_row(name, f"{share:.0%}", "█" * round(share * _WIDEST_BAR))
    return table


def _drifts(now: Mapping[str, Any]) -> Iterator[Text]:
    for signal, levels in now["drift"].items():
        counts = ", ".join(f"{count:,} {level}" for level, count in levels.items())
        yield Text(f"drift of {signal}: {counts}")


def _line(scores: Sequence[float]) -> str:
    """Return scores as bars, from the lowest to the highest of them."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    size = (high - low) or 1.0
    return "".join(_BARS[round((score - low) / size * (len(_BARS) - 1))] for score in scores)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
