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
TREES = 2_000  # samples of the forest, which grows slower the longer it learns


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
    auto_against_forest = ratios(preset("auto", *narrow), lambda: forest(*narrow), 5)
    plain = TrainSettings(optimizer={"sgd": {"learning_rate": 0.1, "global_clipnorm": 1.0}})
    usual_against_plain = ratios(preset("mlp", *narrow), learner_runs(ModelSettings(), plain, *narrow))
    return [
        ratio_row(
            "the learner, MLP 20-64-32-1, Adam, B = 1, against `train_on_batch` after a prediction",
            "≥ 120 ×",
            against_keras,
        ),
        ratio_row("the same against a bare XLA loop of 256 updates a call", "≥ 0.9 ×", against_loop),
        ratio_row("the same against that loop, compiled as one kernel as learnd's is", "", against_fused),
        ratio_row(
            f"the learner, `preset: mlp`, {NARROW} features, B = 1, the default optimizer against SGD with clipped "
            "gradients",
            "≥ 0.85 ×",
            usual_against_plain,
        ),
        ratio_row(
            f"the learner, `preset: auto` against `preset: mlp`, {NARROW} features, B = 1", "≥ 0.35 ×", auto_against_mlp
        ),
        ratio_row(
            "the same against River's ARFClassifier of 10 trees, which gets parsed dicts",
            "≥ 100 ×",
            auto_against_forest,
        ),
    ]


def learnd(x: Any, y: Any) -> Any:
    return learner_runs(ModelSettings(standardize=False), TrainSettings(optimizer="adam"), x, y)


def preset(name: Any, x: Any, y: Any) -> Any:
    return learner_runs(ModelSettings(preset=name), TrainSettings(), x, y)


def forest(x: Any, y: Any) -> float:
    """Return the samples/s of River's forest, each predicted and then learnt."""
    from river.forest import ARFClassifier

    model = ARFClassifier(n_models=10, seed=1)
    samples = [
        ({str(index): value for index, value in enumerate(row)}, bool(label))
        for row, label in zip(x[:TREES].tolist(), y[:TREES, 0], strict=True)
    ]

    def run() -> None:
        for features, label in samples:
            model.predict_one(features)
            model.learn_one(features, label)

    return timed(run, TREES)


def learner_runs(model: ModelSettings, train: TrainSettings, x: Any, y: Any, *, models: int = 1) -> Any:
    columns = [Column(f"x{index}", ColumnKind.NUMBER) for index in range(x.shape[1])]
    learner = KerasLearner(model, train, SampleSpec.of_columns(columns, Task("binary", 1, 1)), models=models)
    length = learner.max_updates
    calls = [call(x[at : at + length], y[at : at + length], at) for at in range(0, SAMPLES, length)]
    return lambda: timed(lambda: [learner.update(each) for each in calls], SAMPLES)
