"""Growth of resident memory over an hour of a followed file, with drifts, bad records and scrapes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import yaml
from memory_bench import resident_mib
from report import Row

RATE, DRIFT_EVERY, BAD_EVERY, FEATURES = 8_000, 200_000, 500, 8
_HOUR_S, _BEGINNING_S, _LOOK_S = 3_600, 600, 10
_AT_ONCE = 800  # records that are written


def rows() -> list[Row]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "stream.jsonl").touch()
        over = threading.Event()
        feeder = threading.Thread(target=_feed, args=(folder / "stream.jsonl", over))
        feeder.start()
        stack.callback(feeder.join)
        stack.callback(over.set)
        port = _write_settings(folder)
        command = [sys.executable, "-P", "-m", "learnd", "run", "learnd.yaml"]
        with (folder / "log").open("w") as log:
            daemon = stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        stack.callback(daemon.terminate)
        looks = _looks(daemon.pid, f"http://127.0.0.1:{port}/metrics")
    return [_row([look for look in looks if look[0] > _BEGINNING_S])]


def _looks(process: int, metrics: str) -> list[tuple[float, float]]:
    """Return seconds and MiB, every few seconds; each look comes with a scrape, as Prometheus does it."""
    looks, started = [], time.monotonic()
    while (passed_s := time.monotonic() - started) < _HOUR_S:
        time.sleep(_LOOK_S)
        looks.append((passed_s, resident_mib(process)))
        if passed_s > _BEGINNING_S:
            with urlopen(metrics, timeout=_LOOK_S) as answer:
                answer.read()
    return looks


def _row(looks: Sequence[tuple[float, float]]) -> Row:
    """Return the slope of the line of least squares through the looks."""
    seconds, mib = np.array(looks).T
    slope = np.polyfit(seconds / 3_600, mib, 1)[0]
    steps = ", ".join(f"{value:.0f}" for value in mib[:: max(1, len(mib) // 6)])
    what = (
        f"an hour of a followed file at {RATE:,} records/s, a drift every {DRIFT_EVERY:,} and one bad record in "
        f"{BAD_EVERY}: slope of resident memory after the first ten minutes"
    )
    return Row(what, "≤ 1 MB/h", f"{slope:.1f} MiB/h", f"{steps} MiB, a sixth of the time apart")


def _write_settings(folder: Path) -> int:
    """Write the settings as `init` does, but for what the stream needs. Return the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    settings = {
        "model": {"task": "binary", "preset": "auto"},
        "source": {"files": {"path": "stream.jsonl", "follow": True}},
        "samples": {"features": {f"x{index}": "float" for index in range(FEATURES)}, "label": "y"},
        "checkpoint": {"dir": "state"},
        "http": {"listen": f"127.0.0.1:{port}"},
    }
    (folder / "learnd.yaml").write_text(yaml.safe_dump(settings))
    return port


def _feed(path: Path, over: threading.Event) -> None:
    """Append records at the rate until it is over."""
    rng, started, written = np.random.default_rng(1), time.monotonic(), 0
    with path.open("a") as file:
        while not over.wait(max(0.0, started + written / RATE - time.monotonic())):
            if written % DRIFT_EVERY == 0:
                weights = rng.normal(size=FEATURES)
            x = rng.normal(size=(_AT_ONCE, FEATURES)).round(4)
            labels = (x @ weights + rng.normal(size=_AT_ONCE) > 0).astype(int).tolist()
            for number, (row, label) in enumerate(zip(x.tolist(), labels, strict=True)):
                record = {f"x{index}": value for index, value in enumerate(row)}
                if (written + number) % BAD_EVERY == 0:
                    record["x0"] = "bad"
                file.write(json.dumps({**record, "y": label}) + "\n")
            file.flush()
            written += _AT_ONCE
