"""Streams and settings whose models are known to the last bit. Each is written into its own folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import phased
import reacting
from processes import ROOT
from scenarios import SCENARIOS

_EXAMPLES = ROOT / "examples"

ONE_PROCESSOR = {
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}
"""Restricts XLA, oneDNN and NumPy to instructions that every x86-64 processor of the last ten years has. Wider ones add
in another order, but a digest in a file must not depend on the machine."""

_ONE_WAY_TO_ADD = {
    "TF_ENABLE_ONEDNN_OPTS": "1",  # what it is unless something sets it, as learnd does in a process that imports it
    "TF_NUM_INTRAOP_THREADS": "1",  # how threads share a sum depends on the load
    "TF_NUM_INTEROP_THREADS": "1",
}


def _example(name: str, *commands: str) -> Callable[[Path], None]:
    """Return a function that copies an example and runs the commands of its README that make the data."""

    def prepare(folder: Path) -> None:
        shutil.copytree(_EXAMPLES / name, folder)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        for command in commands:
            subprocess.run(
                command,
                shell=True,
                cwd=folder,
                check=True,
                env={**os.environ, **ONE_PROCESSOR, **_ONE_WAY_TO_ADD, "PATH": path},
            )

    return prepare


def _demo(folder: Path) -> None:
    """The stream of `learnd demo`, recorded, with the demo's windows."""
    from river.datasets import Bananas

    records = [({"length": x["1"], "width": x["2"]}, int(y)) for x, y in Bananas()]
    middle = len(records) // 2
    rows = [{**x, "kind": y if number < middle else 1 - y} for number, (x, y) in enumerate(records)]
    _write(
        folder,
        rows,
        """
source: {files: {path: stream.jsonl}}
samples: {features: {length: float, width: float}, label: kind}
validate: {prequential: {windows: [500], every: 500}}
http: {listen: null}
""",
    )


def _regression(folder: Path) -> None:
    rng = random.Random(21)
    rows = []
    for number in range(3000):
        a, b, kind = rng.gauss(0, 1), rng.gauss(3, 2), rng.choice("uvw")
        turned = -1 if number > 1800 else 1
        rows.append({"a": a, "b": b, "kind": kind, "w": rng.choice([0.5, 1, 2]), "y": turned * a + 0.2 * b})
    rows[77]["y"] = "high"
    settings = """
model: {preset: mlp, task: regression, hidden: [12], dropout: 0.1}
source: {files: {path: stream.jsonl}}
samples:
  features: {a: float, b: float, kind: {values: [u, v]}}
  label: y
  weight: w
train: {batch_size: 4, loss: {huber: {delta: 2.0}}, metrics: [mean_squared_error], optimizer: adam}
validate:
  prequential: {windows: [200], every: 500}
  holdout: {share: 0.1, size: 100, every: 400}
http: {listen: null}
"""
    _write(folder, rows, settings)


def _classes(folder: Path) -> None:
    rng = random.Random(22)
    rows = []
    for number in range(3000):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        label = "low" if a + b < -0.5 else "high" if a - b > 0.5 else "middle"
        rows.append({"a": a, "b": b, "user": f"u{rng.randrange(40)}", "at": 1.7e9 + 600 * number, "y": label})
    anchor = [json.dumps(row) for row in rows[:100]]
    folder.mkdir(parents=True)
    (folder / "anchor.jsonl").write_text("\n".join(anchor) + "\n")
    settings = """
model: {preset: mlp, task: classes, hidden: [16, 8]}
source: {files: {path: stream.jsonl}}
samples:
  features: {a: float, b: float, user: {hash: 64}, at: {timestamp: [hour, weekday]}}
  label: {field: y, classes: [low, middle, high]}
  key: user
train: {metrics: [accuracy]}
validate:
  prequential: {windows: [200], every: 500}
  holdout: {share: 0.1, by: key, size: 100, every: 400}
  anchor: {file: anchor.jsonl, every: 700}
drift:
  - {watch: error, detector: adwin}
  - {watch: predictions, detector: ks, reference: 400, window: 100}
  - {watch: labels, detector: psi, reference: 400, window: 100}
http: {listen: null}
"""
    _write(folder, rows, settings)


def _multi_label(folder: Path) -> None:
    rng = random.Random(23)
    header, lines = "a;v;red;green;blue", []
    for _ in range(2500):
        a, v = rng.gauss(0, 1), [round(rng.gauss(0, 1), 3) for _ in range(3)]
        labels = [int(a > 0), int(v[0] > v[1]), int(v[2] > 1)]
        lines.append(";".join([f"{a:.4f}", " ".join(map(str, v)), *map(str, labels)]))
    folder.mkdir(parents=True)
    (folder / "stream.csv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "learnd.yaml").write_text(
        """
model: {preset: linear, task: multi_label}
source: {files: {path: stream.csv}}
samples:
  format: csv
  delimiter: ";"
  features: {a: float, v: {vector: 3}}
  label: {labels: [red, green, blue]}
train: {batch_size: 1, step: train_on_batch}
validate: {prequential: {windows: [200], every: 500}}
http: {listen: null}
"""
    )


def _write(folder: Path, rows: list[dict[str, Any]], settings: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stream.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "learnd.yaml").write_text(settings)


STREAMS: dict[str, Callable[[Path], object]] = {
    "example build_function": _example("build_function", "python stream.py 2000 > bikes.jsonl"),
    "example drift_abrupt": _example("drift_abrupt", "python stream.py > orders.jsonl"),
    "example drift_gradual": _example("drift_gradual", "python stream.py > machine.jsonl"),
    "example fine_tuning": _example("fine_tuning", "python digits.py"),
    "example poisoned": _example("poisoned", "python stream.py > poisoned.jsonl"),
    "demo": _demo,
    "regression": _regression,
    "classes": _classes,
    "labels": _multi_label,
    **{f"killed: {name}": scenario.prepare for name, scenario in SCENARIOS.items()},
    "reacting": lambda folder: reacting.prepare(folder, "fragile", 1, xla=True),
    "reacting in batches": lambda folder: reacting.prepare(folder, "fragile_with_dropout", 3, xla=False),
    "phases": phased.prepare,
}

OF_THE_MAKER = (
    "example fine_tuning",
    "classes",
    "killed: dropout, batch normalization, a frozen layer, a partial batch",
    "phases",
)
"""Streams whose bits depend on who made the processor: outside XLA, reciprocals and their roots start from an
instruction that is approximate, and each maker's is in its own way. Batch normalization and softmax use them."""
