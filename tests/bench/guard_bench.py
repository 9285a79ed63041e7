"""The guard: how many updates it skips on streams that do not change, and what it keeps out of one with strays."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
from accuracy_bench import DATA
from bare import call
from report import Row

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import GuardSettings, ModelSettings, TrainSettings
from learnd.daemon.values import LABEL, Column, ColumnKind, SampleSpec, Skip, Task

SAMPLES, FEATURES, SEED = 100_000, 10, 1
ON, OFF = GuardSettings(), GuardSettings(sigma=None)
BINARY, REGRESSION = Task("binary", 1, 1), Task("regression", 1, 1)
SGD, ADAM = None, {"adam": {"learning_rate": 0.001}}


def rows() -> list[Row]:
    return [stationary(), strays(SGD, "SGD, gradients clipped"), strays(ADAM, "Adam")]


def stationary() -> Row:
    """Return how many updates are skipped although each one should train."""
    counts = {}
    for name, (x, y, task) in streams().items():
        for optimizer in (SGD, ADAM):
            skips, _ = run(x, y, task, optimizer, ON)
            counts[name] = counts.get(name, 0) + skips
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    what = "updates that the guard skips, one sample each, although nothing is wrong: five streams, SGD and Adam"
    return Row(what, "", str(sum(counts.values())), f"{told}; of {SAMPLES:,} each (Elec2 45,312), twice")


def strays(optimizer: Any, name: str) -> Row:
    """Return how often the sign is right if 0.1 % of labels or features are a million times too large."""
    x, y, task = streams()["heavy tails"]
    rng = np.random.default_rng(SEED)
    rows = rng.choice(np.arange(200, SAMPLES), SAMPLES // 1000, replace=False)
    bad_x, bad_y = x.copy(), y.copy()
    bad_y[rows[::2]] *= 1e6
    bad_x[rows[1::2], rng.integers(0, FEATURES, len(rows) // 2)] *= 1e6
    _, clean = run(x, y, task, optimizer, ON, standardize=False)
    skips, guarded = run(bad_x, bad_y, task, optimizer, ON, standardize=False)
    _, alone = run(bad_x, bad_y, task, optimizer, OFF, standardize=False)
    what = f"a regression, 0.1 % of labels or features times 1e6, {name}: signs that are right, with and without guard"
    return Row(what, "", f"{guarded:.4f} against {alone:.4f}", f"clean {clean:.4f}; {skips} of 100 skipped")


def streams() -> dict[str, tuple[Any, Any, Task]]:
    """Return features, labels and task of streams whose distribution stays."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(SAMPLES, FEATURES)).astype(np.float32)
    score = x @ rng.normal(size=FEATURES)
    rare = rng.random(SAMPLES) < 0.001
    shifted = x + 3 * rare[:, None].astype(np.float32)
    found = {
        "noisy labels": (x, (score > 0) ^ (rng.random(SAMPLES) < 0.1), BINARY),
        "no noise": (x, score > 0, BINARY),
        "one positive in a thousand": (shifted, rare, BINARY),
        "heavy tails": (x, score + rng.standard_t(3, size=SAMPLES), REGRESSION),
    }
    if DATA.exists():
        with gzip.open(DATA, "rt") as file:
            header = file.readline().strip().split(",")
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)
        label = header.index("down")
        found["Elec2"] = (np.delete(table, label, axis=1), table[:, label] > 0.5, BINARY)
    return {name: (x, np.asarray(y, np.float32), task) for name, (x, y, task) in found.items()}


def run(
    x: Any, y: Any, task: Task, optimizer: Any, guard: GuardSettings, *, standardize: bool = True
) -> tuple[int, float]:
    """Return how many updates were skipped, and the accuracy (of the signs, for a regression) over the last half."""
    spec = SampleSpec.of_columns([Column(f"x{index}", ColumnKind.NUMBER) for index in range(x.shape[1])], task)
    model, train = ModelSettings(standardize=standardize), TrainSettings(optimizer=optimizer, seed=SEED)
    learner = KerasLearner(model, train, spec, guard)
    skips, outputs = 0, []
    for start in range(0, len(x), learner.max_updates):
        end = start + learner.max_updates
        report = learner.update(call(x[start:end], y[start:end, None], start))
        skips += int(np.count_nonzero(report.skipped != Skip.NONE))
        outputs.append(report.outputs[LABEL][:, 0, 0])
    threshold = 0.5 if task is BINARY else 0.0
    right = (np.concatenate(outputs) > threshold) == (y > threshold)
    return skips, float(right[len(right) // 2 :].mean())


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
