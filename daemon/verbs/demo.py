"""`learnd demo`: a live stream of real measurements whose concept changes half-way.

The bananas data set comes with River: two measurements of a banana, and which of two kinds it is. A thread appends
the records to a file, slowly enough to watch. In the second half the two kinds are swapped: what the model knows is
suddenly wrong, and it has to learn again.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Annotated, Self

import typer

from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import StoreError
from learnd.daemon.foundation.threads import join_within
from learnd.daemon.operate.logs import configure_logging
from learnd.daemon.operate.settings import HttpSettings, LogSettings, split_address
from learnd.daemon.operate.signals import StopSignal

_STREAM, _STATE = "stream.jsonl", "state"

verb = typer.Typer()


@verb.command()
def demo(
    directory: Annotated[Path, typer.Option("--dir", help="Where the stream and the state go.")] = Path("learnd-demo"),
    rate: Annotated[float, typer.Option("--rate", min=1, help="Records a second.")] = 200.0,
) -> None:
    """Learn from a live stream whose concept changes half-way, while you watch."""
    configure_logging(LogSettings(level="warning"))
    run_demo(directory, rate)


def run_demo(directory: Path, rate: float) -> None:
    """Feed and train until the stream ends or a signal comes, then print the summary. A second run continues."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{directory} cannot be made: {error.strerror}. Nothing was started. Give another --dir."
        ) from error
    feeder = Feeder(directory / _STREAM, rate)
    settings = demo_settings(directory)
    print(
        f"A stream of {len(feeder.lines):,} records at {rate:,.0f} a second into {directory / _STREAM}; its concept "
        f"changes in the middle.\nMetrics: http://{settings.http.listen}/metrics   State: {settings.checkpoint.dir}\n"
    )
    with StopSignal(settings.shutdown_timeout_s) as stop:
        from learnd.daemon.run import Options, run
        from learnd.daemon.training import learner  # noqa: F401  (TensorFlow loads before the stream begins)

        with feeder:
            summary = run(settings, stop, Options(records=len(feeder.lines)))
    print(summary.text())
    print(f"Again from the start: rm -r {directory}   On with your own data: learnd init YOUR.csv")


def demo_settings(directory: Path) -> Settings:
    """Return the settings of the demo: as in a new settings file, but with shorter windows."""
    return Settings.model_validate(
        {
            "source": {"files": {"path": str(directory / _STREAM), "follow": True}},
            "samples": {"features": {"length": "float", "width": "float"}, "label": "kind", "event_time": "at"},
            "validate": {"prequential": {"windows": [500], "every": 500}},
            "checkpoint": {"dir": str(directory / _STATE), "every": {"seconds": 2}},
            "http": {"listen": _free_address()},
        }
    )


def _free_address() -> str:
    """Return the usual address, or one with another port if something listens there already."""
    usual = HttpSettings().listen or ""
    with socket.socket() as probe:
        try:
            probe.bind(split_address(usual))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return "{}:{}".format(*probe.getsockname())


class Feeder:
    """A context manager that appends the stream's lines to a file, one by one, from where the file ends."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self.lines = _lines()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder", daemon=True)
        self._path.touch()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        join_within(self._thread, 10.0, "the demo ends while it writes a record")

    def _feed(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            started, written = time.monotonic(), self._path.read_bytes().count(b"\n")
            for number, line in enumerate(self.lines[written:]):
                if self._stop.wait(max(0.0, started + number / self._rate - time.monotonic())):
                    return
                file.write(json.dumps({**line, "at": time.time()}).encode() + b"\n")


def _lines() -> list[dict[str, float]]:
    from river.datasets import Bananas

    records = [({"length": x["1"], "width": x["2"]}, int(y)) for x, y in Bananas()]
    middle = len(records) // 2
    return [{**x, "kind": y if number < middle else 1 - y} for number, (x, y) in enumerate(records)]
