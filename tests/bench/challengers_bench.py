"""How soon a better challenger leads, whether a harmful one ever does, and what one costs."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
from bare import call, data
from learner_bench import NARROW, SAMPLES, learner_runs
from report import Row, ratio_row, ratios, timed

from learnd.daemon.contest.contest import Challenger, Contest
from learnd.daemon.contest.settings import ChallengerSettings
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import Column, ColumnKind, SampleSpec, Task

SEEDS = range(20)
STREAM, LENGTH = 40_000, 4096
LINEAR, DEEP = ModelSettings(preset="linear"), ModelSettings(preset="mlp")
HARMFUL = {"regenerative_rmsprop": {"learning_rate": 1.0}}


def rows() -> list[Row]:
    better = [_contest(seed, LINEAR, DEEP) for seed in SEEDS]
    soon = sum(outcome == "promoted" and samples <= 5_000 for outcome, samples in better)
    harmful = [_contest(seed, DEEP, DEEP, optimizer=HARMFUL) for seed in SEEDS]
    promoted = sum(outcome == "promoted" for outcome, _ in harmful)
    x, y = data(SAMPLES, NARROW)
    cost = ratios(_beside(x, y), learner_runs(DEEP, TrainSettings(), x, y, models=2))
    return [
        Row(
            "a challenger with a hidden layer against a linear model, labels by the sign of a product, a tenth of them "
            "wrong: promoted within 5,000 samples, its warm-up of 1,000 among them",
            "18 of 20 seeds",
            f"{soon} of {len(SEEDS)}",
            f"behind {statistics.median(samples for _, samples in better):,.0f} samples, at most "
            f"{max(samples for _, samples in better):,}",
        ),
        Row(
            f"a challenger with a learning rate of 1.0 against the usual one, {STREAM:,} samples: promoted",
            "never in 20 seeds",
            f"{promoted} of {len(SEEDS)}",
            f"dropped behind {statistics.median(samples for _, samples in harmful):,.0f} samples",
        ),
        ratio_row(
            f"the learner, `preset: mlp`, {NARROW} features, B = 1, with a challenger beside it, against none",
            "≥ 0.59 × (1.7 × the cost)",
            cost,
        ),
    ]


def _contest(seed: int, leading: ModelSettings, challenging: ModelSettings, **train: Any) -> tuple[str, int]:
    """Return what becomes of a challenger, and behind how many samples."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(STREAM, 4)).astype(np.float32)
    right = x[:, 0] * x[:, 1] + x[:, 2] / 2 > 0
    y = (right ^ (rng.random(STREAM) < 0.1)).astype(np.float32)[:, None]
    spec = _spec(x)
    settings = ChallengerSettings(name="other", train=TrainSettings(seed=seed + 100, **train))
    challenger = Challenger(settings, _learner(challenging, TrainSettings(seed=seed + 100, **train), spec))
    contest = Contest(_learner(leading, TrainSettings(seed=seed), spec), spec, [challenger])
    for at in range(0, STREAM, LENGTH):
        for event in contest.update(call(x[at : at + LENGTH], y[at : at + LENGTH], at)).decided:
            return event.data["outcome"], event.samples
    return "undecided", STREAM


def _beside(x: Any, y: Any) -> Any:
    """Return a function that trains a model with one like it as its challenger, which is never decided."""
    spec = _spec(x)
    settings = ChallengerSettings(name="other", train=TrainSettings(seed=8), samples=1 << 40)
    models = [_learner(DEEP, TrainSettings(), spec) for _ in range(2)]
    one = Contest(models[0], spec, [Challenger(settings, models[1])])
    calls = [
        call(x[at : at + one.max_updates], y[at : at + one.max_updates], at)
        for at in range(0, SAMPLES, one.max_updates)
    ]
    return lambda: timed(lambda: [one.update(each) for each in calls], SAMPLES)


def _learner(model: ModelSettings, train: TrainSettings, spec: SampleSpec) -> KerasLearner:
    return KerasLearner(model, train, spec, models=2)


def _spec(x: Any) -> SampleSpec:
    columns = [Column(f"x{index}", ColumnKind.NUMBER) for index in range(x.shape[1])]
    return SampleSpec.of_columns(columns, Task("binary", 1, 1))
