"""`make bench`: measures learnd against what it would be measured against, and writes docs/benchmarks.md.

Every pair runs side by side in one process, in turn, and a figure is the median of the runs' ratios: shared
machines drift. `python tests/bench/run.py NAME ...` runs some of the benchmarks and leaves the other rows alone.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parent))

from report import Row, write_document

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "bench" / "results.json"
DOCUMENT = ROOT / "docs" / "benchmarks.md"


# By name, the module whose `rows` measures it.
BENCHMARKS = {
    "learner": "learner_bench",
    "daemon": "daemon_bench",
    "formats": "formats_bench",
    "checkpoints": "checkpoint_bench",
    "memory": "memory_bench",
    "start": "start_bench",
    "drift": "drift_bench",
    "events": "events_bench",
    "events by 32": "events_by_32_bench",
    "operate": "operate_bench",
    "accuracy": "accuracy_bench",
    "files": "files_bench",
    "guard": "guard_bench",
    "phases": "phases_bench",
    "forgetting": "forgetting_bench",
    "challengers": "challengers_bench",
    "certainty": "certainty_bench",
    "kafka": "kafka_bench",
}
LONG = {"quality": "quality_bench", "rivals": "rivals_bench", "hour": "hour_bench"}  # only by name


def main(names: list[str]) -> None:
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names or BENCHMARKS:
        print(f"{name} ...", flush=True)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # TensorFlow is told of threads once in one
            rows = process.submit(measured, (BENCHMARKS | LONG)[name]).result()
        for row in rows:
            print(f"  {row.what}: {row.measured} (at least as asked: {row.target})", flush=True)
        results[name] = {"rows": [asdict(row) for row in rows], "machine": machine()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_document(DOCUMENT, [results[name] for name in BENCHMARKS | LONG if name in results])


def measured(module: str) -> list[Row]:
    """Return what a benchmark has measured."""
    rows: list[Row] = import_module(module).rows()
    return rows


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
