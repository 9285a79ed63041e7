"""`make bench`: measures learnd against what it would be measured against, and writes docs/benchmarks.md.

Every pair runs side by side in one process, in turn, and a figure is the median of the runs' ratios: shared
machines drift. `python tests/bench/run.py NAME ...` runs some of the benchmarks and leaves the other rows alone.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from report import Row, write_document

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "bench" / "results.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def learner() -> list[Row]:
    import learner_bench

    return learner_bench.rows()


def daemon() -> list[Row]:
    import daemon_bench

    return daemon_bench.rows()


def checkpoints() -> list[Row]:
    import checkpoint_bench

    return checkpoint_bench.rows()


def memory() -> list[Row]:
    import memory_bench

    return memory_bench.rows()


def start() -> list[Row]:
    import start_bench

    return start_bench.rows()


def accuracy() -> list[Row]:
    import accuracy_bench

    return accuracy_bench.rows()


def drift() -> list[Row]:
    import drift_bench

    return drift_bench.rows()


def quality() -> list[Row]:
    import quality_bench

    return quality_bench.rows()


def guard() -> list[Row]:
    import guard_bench

    return guard_bench.rows()


def phases() -> list[Row]:
    import phases_bench

    return phases_bench.rows()


def kafka() -> list[Row]:
    import kafka_bench

    return kafka_bench.rows()


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    function.__name__: function
    for function in (learner, daemon, checkpoints, memory, start, drift, accuracy, guard, phases, kafka)
}


LONG = {"quality": quality}  # only by name


def main(names: list[str]) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        rows = (BENCHMARKS | LONG)[name]()
        for row in rows:
            print(f"  {row.what}: {row.measured} (at least as asked: {row.target})", flush=True)
        results[name] = {"rows": [asdict(row) for row in rows], "machine": machine()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_document(DOCUMENT, [results[name] for name in BENCHMARKS | LONG if name in results])


def machine() -> str:
    """Return the machine and the versions that the figures are from."""
    from importlib.metadata import version

    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))
    day = datetime.now(UTC).date().isoformat()
    return f"{day}: {cpu}, {os.cpu_count()} cores, {memory_gib:.0f} GiB; Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    main(sys.argv[1:])
