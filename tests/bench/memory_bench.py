"""Growth of resident memory over many samples, checkpoints and scores."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bare import data
from daemon_bench import FEATURES, settings, stream
from report import Row

from daemon.app import Options, run

MILLION, FILES = 1_000_000, 20


def rows() -> list[Row]:
    x, y = data(MILLION, FEATURES)
    at: dict[int, float] = {}
    with stream(x, y) as folder:
        del x, y
        (folder / "many").mkdir()
        for number in range(FILES):
            shutil.copy(folder / "stream.jsonl", folder / "many" / f"{number:02d}.jsonl")
        chosen = settings(folder, source={"files": {"path": str(folder / "many")}})
        for millions in (1, 5, 10, FILES):  # each goes on where the last one stopped
            run(chosen, lambda: False, Options(http=False, display=False, records=millions * MILLION))
            at[millions] = resident_mib()
    growth = at[FILES] - at[1]
    steps = ", ".join(f"{mib:.0f} MiB after {millions} million" for millions, mib in at.items())
    return [
        Row(
            "growth of resident memory from sample 1 million to sample 20 million",
            "≤ 20 MB",
            f"{growth:.1f} MiB",
            steps,
        )
    ]


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
