"""Rows of figures, and the document that they make."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEAD = """# Benchmarks

Made by `make bench`, never edited by hand. Each pair ran side by side in one process, in turn; a ratio is the median of
the ratios of at least five such turns, with the lowest and the highest behind it. None of these is a test: shared
machines are too noisy for that. The scores of files and of Elec2 are what [`learnd bench`](bench.md) measures.

"""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what is asked for, and what came out."""

    what: str
    target: str
    measured: str
    detail: str


class Unwatched:
    """A `Progress` that shows nothing."""

    def begin(self, name: str, samples: int) -> Callable[[int], None]:  # noqa: ARG002
        return lambda _: None


def ratios(ours: Callable[[], float], theirs: Callable[[], float], turns: int = 7) -> tuple[float, str, float, float]:
    """Run two functions that return samples/s in turn. Return the median ratio, its range, and both medians."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(turns)]
    each = [mine / other for mine, other in pairs]
    spread = f"{min(each):.3g} to {max(each):.3g}"
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return statistics.median(each), spread, mine, other


def ratio_row(what: str, target: str, result: tuple[float, str, float, float]) -> Row:
    ratio, spread, mine, other = result
    return Row(what, target, f"{ratio:.3g} × ({spread})", f"{mine:,.0f} against {other:,.0f} samples/s")


def timed(call: Callable[[], object], samples: int) -> float:
    """Return samples/s of one call."""
    started = time.perf_counter()
    call()
    return samples / (time.perf_counter() - started)


def write_document(path: Path, results: Sequence[dict[str, Any]]) -> None:
    lines = [_HEAD.rstrip(), "", "| what | asked | measured | figures |", "| --- | --- | --- | --- |"]
    machines: list[str] = []
    for result in results:
        if result["machine"] not in machines:
            machines.append(result["machine"])
        mark = machines.index(result["machine"]) + 1
        lines += [
            f"| {row['what']} | {row['target']} | {row['measured']} | {row['detail']} [{mark}] |"
            for row in result["rows"]
        ]
    lines += ["", *[f"[{number}] {machine}  " for number, machine in enumerate(machines, 1)], ""]
    path.write_text("\n".join(lines))
