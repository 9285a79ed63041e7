"""What is read when Prometheus asks."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import pytest

from learnd.daemon.foundation.shares import Shares, spending
from learnd.daemon.operate.memory_limit import memory_limit
from learnd.daemon.operate.metrics import Metrics

MACHINE = 8 << 30
MEMINFO = f"MemTotal:       {MACHINE // 1024} kB\nMemFree:        1 kB\n"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"learnd_{name}", labels)


def test_the_disk_of_the_state_and_the_journal(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.at_scrape.root = tmp_path
    assert (value(metrics, "state_free_bytes") or 0) > 0
    assert math.isnan(value(metrics, "journal_bytes") or 0)  # there is none yet
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "000001-00000001.log").write_bytes(b"x" * 1000)
    (tmp_path / "journal" / "000001-00000002.log").write_bytes(b"x" * 24)
    assert value(metrics, "journal_bytes") == 1024
    metrics.at_scrape.root = tmp_path / "gone"
    assert math.isnan(value(metrics, "state_free_bytes") or 0)


def test_where_the_time_of_a_thread_goes() -> None:
    metrics, shares = Metrics(), Shares("reading", "decoding")
    metrics.at_scrape.threads = {"reader": shares.seconds}
    assert value(metrics, "thread_seconds_total", thread="reader", activity="decoding") == 0
    shares.begin("reading")
    shares.begin("decoding")
    read = value(metrics, "thread_seconds_total", thread="reader", activity="reading")
    shares.begin("reading")
    decoded = value(metrics, "thread_seconds_total", thread="reader", activity="decoding")
    assert read is not None
    assert decoded is not None
    assert read > 0 < decoded
    assert value(metrics, "thread_seconds_total", thread="reader", activity="reading") == read


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30),  # in a container
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "512\n"}, 512),  # of the one above
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, MACHINE),
        (
            {
                "proc/self/cgroup": "5:cpu:/a\n4:memory:/docker/abc\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "2048\n",  # mounted in the container as its root
            },
            2048,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/a\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",  # none, in version 1
            },
            MACHINE,
        ),
    ],
)
def test_the_memory_limit_is_the_least_of_all(tmp_path: Path, files: dict[str, str], limit: int) -> None:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_limit(tmp_path) == limit


def test_the_memory_limit_of_an_unknown_system_is_not_known(tmp_path: Path) -> None:
    assert math.isnan(memory_limit(tmp_path))
    assert memory_limit() > 1 << 20


def test_time_goes_to_the_innermost_activity_of_the_thread_that_is_followed() -> None:
    shares = Shares("outer", "inner")

    @spending("inner")
    def work() -> None:
        time.sleep(0.3)  # on a machine that is busy, the thread may wait for a while outside of it, too

    def thread() -> None:
        shares.follow()
        with spending("outer"):
            work()
        shares.begin("other")

    work()
    assert not any(shares.seconds.values())
    one = threading.Thread(target=thread)
    one.start()
    one.join()
    assert shares.seconds["inner"] >= 0.3 > shares.seconds["outer"] > 0
