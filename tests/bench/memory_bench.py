"""Growth of resident memory over many samples, checkpoints and scores."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bare import data
from daemon_bench import FEATURES, composed, settings, stream
from report import Row

MILLION, FILES = 1_000_000, 20


def rows() -> list[Row]:
    x, y = data(MILLION, FEATURES)
    with stream(x, y) as folder:
        del x, y
        (folder / "many").mkdir()
        for number in range(FILES):
            shutil.copy(folder / "stream.jsonl", folder / "many" / f"{number:02d}.jsonl")
        at = resident_after(folder, [1, 5, 10, 15, FILES])
    steps = ", ".join(f"{mib:.0f} MiB after {millions} million" for millions, mib in at.items())
    what = "growth of resident memory from sample 1 million to sample 20 million"
    return [Row(what, "≤ 20 MB", f"{at[FILES] - at[1]:.1f} MiB", steps)]


def resident_after(folder: Path, millions: list[int]) -> dict[int, float]:
    """Return the resident memory of one daemon, in MiB, once it has trained so many million samples."""
    at: dict[int, float] = {}
    chosen = settings(folder, source={"files": {"path": str(folder / "many")}})
    with composed(chosen) as (loop, _):

        def look() -> bool:
            due = millions[len(at)]
            if loop.progress.samples >= due * MILLION:
                at[due] = resident_mib()
            return len(at) == len(millions)

        loop.run(look)
    return at


def resident_mib(process: int | str = "self") -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
