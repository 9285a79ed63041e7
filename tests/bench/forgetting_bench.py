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
TASKS = 40
USUAL = ModelSettings(task="classes")
UNSCALED = "pixels up to 1, not standardised"
SPEC = SampleSpec.of_columns(
    [Column(f"pixel{index}", ColumnKind.NUMBER) for index in range(64)], Task("classes", 10, 1)
)


def rows() -> list[Row]:
    unscaled = ModelSettings(task="classes", standardize=False)
    wide = ModelSettings(task="classes", hidden=[256], standardize=False)
    averages, hedged = AverageSettings(decay=DECAY), AverageSettings(decay=DECAY, hedge=True)
    memory = MemorySettings()
    return [
        _row("neither a memory nor averages", ""),
        _row("the usual memory", "", memory=memory),
        _row("the usual memory and averages of .99", "", average=averages, memory=memory),
        _row("the usual memory and averages of .99, hedged", "≥ .965", average=hedged, memory=memory),
        _row(f"the same, {UNSCALED}", "≥ .965", unscaled, average=hedged, memory=memory),
        _row(f"the same, {UNSCALED}, one hidden layer of 256", "≥ .965", wide, average=hedged, memory=memory),
        *(_permuted(preset) for preset in ("mlp", "auto")),
        ratio_row(
            f"the learner, `preset: mlp`, {NARROW} features, B = 1, with the usual memory, against none",
            "",
            ratios(_preset(memory=MemorySettings()), _preset()),
        ),
    ]


def split_digits(seed: int, model: ModelSettings, **train: Any) -> float:
    """Return the accuracy over all classes behind one pass over 0 and 1, 2 and 3, ..., one sample an update."""
    x, y = _digits(seed, model)
    held, by_task = x[:HELD_OUT], np.argsort(y[HELD_OUT:] // 2, kind="stable") + HELD_OUT
    learner = KerasLearner(model, TrainSettings(seed=seed, **train), SPEC)
    learner.update(call(x[by_task], y[by_task, None].astype(np.float32)))
    return float((learner.predict({FEATURES: held})[LABEL].argmax(axis=1) == y[:HELD_OUT]).mean())


def _digits(seed: int, model: ModelSettings) -> tuple[Any, Any]:
    """Return digits in a random order: features (1797, 64), up to 1 if the model does not scale them, and labels."""
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    scale = 1 if model.standardize else 16
    return digits.data[order].astype(np.float32) / scale, digits.target[order]


def _row(what: str, target: str, model: ModelSettings = USUAL, **train: Any) -> Row:
    found = [split_digits(seed, model, **train) for seed in SEEDS]
    spread = f"{min(found):.3f} to {max(found):.3f}"
    named = f"digits, 5 tasks of 2 classes, one pass, B = 1: accuracy over all classes at the end, with {what}"
    return Row(named, target, f"{statistics.mean(found):.4f} ({spread})", f"seeds {SEEDS[0]} to {SEEDS[-1]}")


def _permuted(preset: Any) -> Row:
    """Return the row of tasks that are the same digits, the pixels of each task in an order of its own."""
    pairs = [_first_and_last(seed, preset) for seed in SEEDS]
    first, last = (statistics.mean(column) for column in zip(*pairs, strict=True))
    each = [late / early for early, late in pairs]
    return Row(
        f"digits, {TASKS} tasks, each with the pixels in another order, one pass, B = 1, `preset: {preset}`: accuracy "
        "in the last ten against the first five",
        "≥ 1.0 ×",
        f"{last / first:.3f} × ({min(each):.3f} to {max(each):.3f})",
        f"accuracy {last:.4f} against {first:.4f}, seeds {SEEDS[0]} to {SEEDS[-1]}",
    )


def _first_and_last(seed: int, preset: Any) -> tuple[float, float]:
    """Return the accuracy, each sample predicted before it trains, in the first five tasks and in the last ten."""
    rng = np.random.default_rng(seed)
    model = ModelSettings(preset=preset, task="classes")
    learner, right = KerasLearner(model, TrainSettings(seed=seed), SPEC), []
    for task in range(TASKS):
        x, y = _digits(seed * 1000 + task, model)
        x = x[:, rng.permutation(x.shape[1])]
        report = learner.update(call(x, y[:, None].astype(np.float32), task * len(x)))
        right.append(float((report.outputs[LABEL][:, 0].argmax(axis=1) == y).mean()))
    return statistics.mean(right[:5]), statistics.mean(right[-10:])


def _preset(**train: Any) -> Any:
    return learner_runs(ModelSettings(), TrainSettings(**train), *data(SAMPLES, NARROW))
