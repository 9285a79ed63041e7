"""What is read at the moment when Prometheus asks, and costs nothing in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from learnd.daemon.operate.memory_limit import memory_limit


class AtScrape(Collector):
    """The disk, the memory, and where the time of each thread goes."""

    def __init__(self) -> None:
        self.root: Path | None = None  # the state directory, once it is known
        self.threads: Mapping[str, Mapping[str, float]] = {}  # seconds by thread and activity

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, from any thread. What cannot be read is NaN."""
        yield GaugeMetricFamily(
            "learnd_memory_limit_bytes",
            "Memory that the process may use: the least of its cgroups' limits and of what the machine has.",
            value=_read(memory_limit),
        )
        yield GaugeMetricFamily(
            "learnd_state_free_bytes",
            "Bytes that are free on the volume of the state directory.",
            value=_read(lambda: _free_bytes(self.root)),
        )
        yield GaugeMetricFamily(
            "learnd_journal_bytes",
            "Bytes of the journal, with those that are allocated in advance.",
            value=_read(lambda: _journal_bytes(self.root)),
        )
        seconds = CounterMetricFamily(
            "learnd_thread_seconds_total",
            "Seconds that a thread has spent on an activity.",
            labels=("thread", "activity"),
        )
        for thread, activities in self.threads.items():
            for activity, value in activities.items():
                seconds.add_metric((thread, activity), value)
        yield seconds


def _read(value: Callable[[], float]) -> float:
    try:
        return value()
    except OSError:
        return float("nan")


def _free_bytes(root: Path | None) -> float:
    if root is None:
        return float("nan")
    volume = os.statvfs(root)
    return float(volume.f_bavail * volume.f_frsize)


def _journal_bytes(root: Path | None) -> float:
    if root is None:
        return float("nan")
    with os.scandir(root / "journal") as entries:
        return float(sum(entry.stat().st_size for entry in entries))
