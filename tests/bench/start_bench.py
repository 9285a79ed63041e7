"""From the start of the process to the first update, after a kill."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml
from bare import data
from daemon_bench import FEATURES, settings, stream
from report import Row

TURNS = 5


def rows() -> list[Row]:
    x, y = data(200_000, FEATURES)
    with stream(x, y) as folder:
        file = folder / "learnd.yaml"
        chosen = settings(folder).model_dump(mode="json", include={"checkpoint"})
        features = {f"x{index}": "float" for index in range(FEATURES)}
        source = {"files": {"path": str(folder / "stream.jsonl")}}
        sections = {
            **chosen,
            "source": source,
            "samples": {"features": features, "label": "y"},
            "http": {"listen": None},
        }
        file.write_text(yaml.safe_dump(sections))
        seconds(learnd(file), "loop.updated=kill@30")  # leaves a checkpoint and a journal behind it
        pairs = [(seconds(learnd(file), "loop.updated=kill@1"), seconds(tensorflow())) for _ in range(TURNS)]
    each = [ours / theirs for ours, theirs in pairs]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    measured = f"{statistics.median(each):.2f} × ({min(each):.2f} to {max(each):.2f})"
    what = "start to the first update after a kill -9, against `python -c 'import tensorflow'`"
    return [Row(what, "≤ 2.5 ×", measured, f"{mine:.1f} s against {other:.1f} s")]


def learnd(file: Path) -> list[str]:
    return [sys.executable, "-m", "learnd", "run", str(file)]


def tensorflow() -> list[str]:
    return [sys.executable, "-c", "import tensorflow"]


def seconds(command: list[str], failpoints: str = "") -> float:
    """Run a command to its end, by a failpoint if need be, and return how long it took."""
    environment = os.environ | {"LEARND_FAILPOINTS": failpoints, "PYTHONPATH": os.pathsep.join(sys.path[1:2])}
    started = time.perf_counter()
    subprocess.run(command, check=False, env=environment, capture_output=True, cwd=Path(__file__).parents[2])
    return time.perf_counter() - started
