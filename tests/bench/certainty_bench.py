"""Whether conformal prediction holds what it says of a model that learns a stream that drifts, and what it costs."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bare import data
from daemon_bench import FEATURES, SAMPLES, speed, stream
from files_bench import written_settings
from report import Row, ratio_row, ratios
from rivals_bench import STREAMS, write_stream

from learnd.daemon.config.settings import Settings
from learnd.daemon.run import Options, run

COVERAGE, WINDOW = 0.9, 1_000
DRIFTING = ("Friedman that drifts", "sine, turns", "random RBF that moves", "Agrawal, turns")


def rows() -> list[Row]:
    x, y = data(SAMPLES, FEATURES)
    with stream(x, y) as folder:
        cost = ratios(lambda: speed(folder, certainty={"coverage": COVERAGE}), lambda: speed(folder), 5)
        both = {"calibrate": "temperature", "decide": "f1"}
        decided = ratios(lambda: speed(folder, certainty=both), lambda: speed(folder), 5)
    what = f"the daemon with the default preset, B = 1, JSON lines of {FEATURES} features"
    return [
        *(covered(name) for name in DRIFTING),
        ratio_row(f"{what}: `certainty.coverage`, against none", "", cost),
        ratio_row(f"{what}: `certainty.calibrate` and `decide: f1`, against neither", "", decided),
    ]


def covered(name: str) -> Row:
    """Return the row of a stream: the coverage of each window of 1,000 samples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stream.csv")
        write_stream(path, STREAMS[name][1]())
        settings = _with_coverage(written_settings(path, "label", STREAMS[name][0]), Path(folder, "state"))
        run(settings, lambda: False, Options(http=False, display=False))
        lines = [json.loads(line) for line in Path(folder, "state", "scores.jsonl").read_text().splitlines()]
    shares = [
        line["metrics"]["coverage"]
        for line in lines
        if line["event"] == "score" and line["set"] == "prequential" and line["window"] == WINDOW
    ]
    return Row(
        f"{name}, `init` and `run` with `certainty.coverage: {COVERAGE}`: coverage in windows of {WINDOW:,}",
        ".87 to .93",
        f"{min(shares):.3f} to {max(shares):.3f}",
        f"{len(shares)} windows",
    )


def _with_coverage(settings: Settings, state: Path) -> Settings:
    changes: dict[str, Any] = {
        "certainty": {"coverage": COVERAGE},
        "validate": {"prequential": {"windows": [WINDOW], "every": WINDOW}},
    }
    told = settings.model_dump(mode="json", exclude_unset=True, by_alias=True)
    checkpoint = {**told.get("checkpoint", {}), "dir": str(state)}
    return Settings.model_validate({**told, **changes, "checkpoint": checkpoint})
