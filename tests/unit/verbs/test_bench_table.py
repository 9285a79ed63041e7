"""How the table of `learnd bench` fits on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from learnd.daemon.verbs.bench import _narrowed

COLUMNS = ("", "brier", "kappa", "log_loss", "auc", "to the best", "beats priors", "samples/s", "time ×", "start")
ROW = ("River LogisticRegression", "0.01273", "-0.0003", "0.06681", "0.7497", "surely worse", "-", "74,802", "1.1", "-")


@pytest.mark.parametrize(
    ("width", "missing"),
    [(120, ()), (100, ("start",)), (80, ("start", "time ×", "samples/s", "auc")), (60, COLUMNS[:1:-1])],
)
def test_costs_go_before_scores_and_what_is_sure_stays(width: int, missing: tuple[str, ...]) -> None:
    missing = tuple(name for name in missing if name not in {"to the best", "beats priors", ""})
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in COLUMNS:
        table.add_column(name, no_wrap=name not in {"to the best", "beats priors"})
    table.add_row(*ROW)
    console = Console(width=width, file=io.StringIO())
    told = "".join(_narrowed(table, console))
    console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]  # of a StringIO
    assert told.removesuffix(": a wider terminal shows them, and --json has all") == (
        f"no room here for {', '.join(missing)}" if missing else ""
    )
    for name, cell in zip(COLUMNS, ROW, strict=True):
        assert (name in shown) == (name not in missing)
        assert cell in shown or name in missing
    assert max(map(len, shown.splitlines())) <= width
