"""What a memory is worth where classes come one after the other, and what it costs."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from bare import call, data
from learner_bench import NARROW, SAMPLES, learner_runs
from report import Row, ratio_row, ratios
from sklearn.datasets import load_digits

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import AverageSettings, MemorySettings, ModelSettings, TrainSettings
from learnd.daemon.values import FEATURES, LABEL, Column, ColumnKind, SampleSpec, Task

SEEDS = (1, 2, 3, 4, 5)
HELD_OUT = 450  # of 1,797
DECAY = 0.99
AVERAGES = AverageSettings(decay=DECAY)


def rows() -> list[Row]:
    return [
        _row(
            "averages of .99 and the usual memory",
            "≥ .965",
            average=AverageSettings(decay=DECAY),
            memory=MemorySettings(),
        ),
        _row("the usual memory", "", memory=MemorySettings()),
        _row("neither", ""),
        ratio_row(
            f"the learner, `preset: mlp`, {NARROW} features, B = 1, with the usual memory, against none",
            "",
            ratios(_preset(memory=MemorySettings()), _preset()),
        ),
    ]


def split_digits(seed: int, **train: Any) -> float:
    """Return the accuracy over all classes behind one pass over 0 and 1, 2 and 3, ..., one sample an update."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x, y = digits.data[order].astype(np.float32), digits.target[order]
    held, by_task = x[:HELD_OUT], np.argsort(y[HELD_OUT:] // 2, kind="stable") + HELD_OUT
    columns = [Column(f"pixel{index}", ColumnKind.NUMBER) for index in range(x.shape[1])]
    spec = SampleSpec.of_columns(columns, Task("classes", 10, 1))
    learner = KerasLearner(ModelSettings(task="classes"), TrainSettings(seed=seed, **train), spec)
    learner.update(call(x[by_task], y[by_task, None].astype(np.float32)))
    return float((learner.predict({FEATURES: held})[LABEL].argmax(axis=1) == y[:HELD_OUT]).mean())


def _row(what: str, target: str, **train: Any) -> Row:
    found = [split_digits(seed, **train) for seed in SEEDS]
    spread = f"{min(found):.3f} to {max(found):.3f}"
    named = f"digits, 5 tasks of 2 classes, one pass, B = 1: accuracy over all classes at the end, with {what}"
    return Row(named, target, f"{statistics.mean(found):.4f} ({spread})", f"seeds {SEEDS[0]} to {SEEDS[-1]}")


def _preset(**train: Any) -> Any:
    return learner_runs(ModelSettings(), TrainSettings(**train), *data(SAMPLES, NARROW))
