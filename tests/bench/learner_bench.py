"""The learner alone, on arrays in memory."""

from __future__ import annotations

from typing import Any

from bare import call, data, train_on_batch, xla_loop
from report import Row, ratio_row, ratios, timed

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import Column, ColumnKind, SampleSpec, Task

FEATURES, SAMPLES, FEW = 20, 65_536, 500
NARROW = 8  # features


def rows() -> list[Row]:
    x, y = data(SAMPLES, FEATURES)
    ours = learnd(x, y)
    by_keras, by_hand = train_on_batch(FEATURES), xla_loop(FEATURES)
    by_hand_fused = xla_loop(FEATURES, one_kernel=True)
    against_keras = ratios(ours, lambda: timed(lambda: by_keras(x[:FEW], y[:FEW]), FEW))
    against_loop = ratios(ours, lambda: timed(lambda: by_hand(x, y), SAMPLES))
    against_fused = ratios(ours, lambda: timed(lambda: by_hand_fused(x, y), SAMPLES))
    narrow = data(SAMPLES, NARROW)
    auto_against_mlp = ratios(preset("auto", *narrow), preset("mlp", *narrow))
    return [
        ratio_row(
            "the learner, MLP 20-64-32-1, Adam, B = 1, against `train_on_batch` after a prediction",
            "≥ 120 ×",
            against_keras,
        ),
        ratio_row("the same against a bare XLA loop of 256 updates a call", "≥ 0.9 ×", against_loop),
        ratio_row("the same against that loop, compiled as one kernel as learnd's is", "", against_fused),
        ratio_row(
            f"the learner, `preset: auto` against `preset: mlp`, {NARROW} features, B = 1", "≥ 0.35 ×", auto_against_mlp
        ),
    ]


def learnd(x: Any, y: Any) -> Any:
    return learner_runs(ModelSettings(standardize=False), TrainSettings(optimizer="adam"), x, y)


def preset(name: Any, x: Any, y: Any) -> Any:
    return learner_runs(ModelSettings(preset=name), TrainSettings(), x, y)


def learner_runs(model: ModelSettings, train: TrainSettings, x: Any, y: Any, *, models: int = 1) -> Any:
    columns = [Column(f"x{index}", ColumnKind.NUMBER) for index in range(x.shape[1])]
    learner = KerasLearner(model, train, SampleSpec.of_columns(columns, Task("binary", 1, 1)), models=models)
    length = learner.max_updates
    calls = [call(x[at : at + length], y[at : at + length], at) for at in range(0, SAMPLES, length)]
    return lambda: timed(lambda: [learner.update(each) for each in calls], SAMPLES)
