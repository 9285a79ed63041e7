"""What it costs to be looked at: Prometheus once a second, and the page."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bare import data
from daemon_bench import FEATURES, SAMPLES, settings, stream
from report import Row, ratio_row, ratios

from learnd.daemon.run import Options, run

_COPIES = 4  # of the stream, so that a run lasts for several looks
# Each looks until it is stopped, from a process of its own.
_PROMETHEUS = """
import sys, time, urllib.request
while True:
    try:
        urllib.request.urlopen(sys.argv[1] + "/metrics", timeout=5).read()
    except OSError:
        pass
    time.sleep(1)
"""
_PAGE = """
import sys, time, urllib.request
while True:
    try:
        with urllib.request.urlopen(sys.argv[1] + "/v1/live", timeout=5) as events:
            while events.read1(65536):
                pass
    except OSError:
        time.sleep(0.1)
"""


def rows() -> list[Row]:
    x, y = data(SAMPLES, FEATURES)
    with stream(x, y) as folder:
        once = (folder / "stream.jsonl").read_bytes()
        (folder / "stream.jsonl").write_bytes(once * _COPIES)
        scraped = ratios(lambda: _looked_at(folder, _PROMETHEUS), lambda: _unseen(folder), 5)
        watched = ratios(lambda: _looked_at(folder, _PAGE), lambda: _looked_at(folder, None), 5)
    what = f"the daemon with the default preset, MLP {FEATURES}-64-32-1, B = 1, JSON lines of {FEATURES} features"
    return [
        ratio_row(f"{what}: scraped every second, against no HTTP server at all", "≥ 0.98 ×", scraped),
        ratio_row(f"{what}: the page is open, against nobody looking", "≥ 0.99 ×", watched),
    ]


def _unseen(folder: Path) -> float:
    return run(settings(folder), lambda: False, Options(http=False, display=False)).samples_per_second


def _looked_at(folder: Path, by: str | None) -> float:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    chosen = settings(folder, http={"listen": f"127.0.0.1:{port}"})
    with _looking(by, port):
        return run(chosen, lambda: False, Options(http=True, display=False)).samples_per_second


@contextmanager
def _looking(by: str | None, port: int) -> Iterator[None]:
    if by is None:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", by, f"http://127.0.0.1:{port}"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
