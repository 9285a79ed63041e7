"""Presets of a regression: the label is standardised as it streams, whatever its unit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import datasets, linear_model, preprocessing

from learnd.daemon.training.layers import RunningLabelScale
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.values import FEATURES, LABEL, Call, Column, ColumnKind, Float64, Samples, SampleSpec, Skip, Task

CALL = 1000


def prices(rows: int = 20_000) -> tuple[Float64, Float64]:
    rng = np.random.default_rng(0)
    rooms, km = rng.integers(1, 7, rows), rng.uniform(0, 30, rows)
    return np.stack([rooms, km], axis=1), 180_000 + 95_000 * rooms - 8_000 * km + rng.normal(0, 5_000, rows)


def spec(columns: int, outputs: int = 1) -> SampleSpec:
    numbers = [Column(f"x{number}", ColumnKind.NUMBER) for number in range(columns)]
    return SampleSpec.of_columns(numbers, Task("regression", outputs, outputs))


def call(x: Any, y: Any, first: int = 0, rows: int = 1) -> Call:
    labels = y.reshape(len(x), -1).astype(np.float32)
    samples = Samples({FEATURES: x.astype(np.float32)}, {LABEL: labels}, np.ones(len(x), np.float32))
    batches = samples.in_batches(len(x) // rows, rows)
    return Call((), batches, samples[:0], partial=False, records=len(x), first=first)


def learner(columns: int, outputs: int = 1, model: dict[str, Any] | None = None, **train: Any) -> KerasLearner:
    settings = TrainSettings(**{"max_updates_per_call": CALL, **train})
    return KerasLearner(ModelSettings(task="regression", **(model or {})), settings, spec(columns, outputs))


def predicted(one: KerasLearner, x: Float64, y: Float64) -> Float64:
    """Train a stream, and return what was predicted of each sample before the update on it, (n, outputs)."""
    found = []
    for start in range(0, len(x), CALL):
        report = one.update(call(x[start : start + CALL], y[start : start + CALL], start))
        found.append(report.outputs[LABEL][:, 0])
        assert (report.skipped == Skip.NONE).all()
    return np.concatenate(found).astype(np.float64)


def r2(found: Float64, y: Float64) -> float:
    return 1 - float(((found - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())


@pytest.mark.parametrize("preset", ["linear", "mlp"])
@pytest.mark.parametrize("loss", [None, "huber"])
def test_prices_are_learned_as_they_come(preset: str, loss: str | None) -> None:
    x, y = prices()
    found = predicted(learner(2, model={"preset": preset}, loss=loss), x, y)[:, 0]
    assert r2(found, y) > 0.97
    assert r2(found[-5_000:], y[-5_000:]) > 0.997


def numbers_of(dataset: Any) -> tuple[Float64, Float64]:
    """Return the features, a time as its seconds, month, weekday and hour, and the labels."""
    rows, labels = [], []
    for features, label in dataset:
        row: list[float] = []
        for value in features.values():
            if hasattr(value, "timestamp"):
                row += [value.timestamp(), value.month, value.weekday(), value.hour]
            elif not isinstance(value, str):
                row.append(float(value))
        rows.append(row)
        labels.append(float(label))
    return np.array(rows), np.array(labels)


def error_of_river(x: Float64, y: Float64) -> float:
    linear = preprocessing.TargetStandardScaler(regressor=linear_model.LinearRegression())
    model, errors = preprocessing.StandardScaler() | linear, []
    for row, label in zip(x.tolist(), y.tolist(), strict=True):
        features = dict(enumerate(row))
        errors.append(abs(model.predict_one(features) - label))
        model.learn_one(features, label)
    return float(np.mean(errors[1:]))


@pytest.mark.parametrize("name", ["AirlinePassengers", "ChickWeights", "TrumpApproval", "WaterFlow"])
def test_the_default_errs_no_more_on_real_data_than_a_scaled_linear_model(name: str) -> None:
    x, y = numbers_of(getattr(datasets, name)())
    found = predicted(learner(x.shape[1]), x, y)[:, 0]
    assert np.abs(found - y)[1:].mean() <= 1.05 * error_of_river(x, y)


def test_the_unit_of_the_label_does_not_matter() -> None:
    """But for how float32 rounds the first predictions, in which a difference of a few digits lives on for a while."""
    x, y = prices(3_000)
    found = [predicted(learner(2, xla=False), x, label)[-1_000:, 0] for label in (y, y / 1000 + 50, y * 1e6)]
    assert r2(found[0] / 1000 + 50, found[1]) > 0.995
    assert r2(found[0] * 1e6, found[2]) > 0.995


def test_several_labels_are_scaled_each_by_its_own_unit() -> None:
    x, y = prices(6_000)
    both = np.stack([y, x[:, 0] * 1e-6 - x[:, 1] * 1e-7], axis=1)
    found = predicted(learner(2, 2), x, both)
    assert min(r2(found[-2_000:, column], both[-2_000:, column]) for column in range(2)) > 0.98


@pytest.mark.parametrize("train", [{"xla": False}, {"step": "train_on_batch"}])
def test_the_export_predicts_in_the_labels_own_unit(train: dict[str, Any], tmp_path: Path) -> None:
    x, y = prices(300)
    trained, one = learner(2, **train), learner(2, **train)
    trained.update(call(x, y))
    one.restore(trained.state())  # as `learnd checkpoints export` does
    one.export(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    inputs = x[:20].astype(np.float32)
    outputs = np.asarray(opened(inputs))
    np.testing.assert_allclose(outputs, one.predict({FEATURES: inputs})[LABEL], rtol=1e-6)
    assert np.abs(outputs[:, 0] - y[:20]).mean() < 0.5 * y.std()


def test_both_kinds_of_step_scale_alike() -> None:
    x, y = prices(60)
    fused, by_batch = learner(2, xla=False, batch_size=2), learner(2, step="train_on_batch", batch_size=2)
    one, other = (each.update(call(x, y, rows=2)) for each in (fused, by_batch))
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-3)
    np.testing.assert_allclose(one.outputs[LABEL], other.outputs[LABEL], rtol=1e-3)


@pytest.mark.parametrize("loss", ["mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson"])
def test_a_loss_that_is_not_of_the_difference_keeps_the_labels_unit(loss: str) -> None:
    assert not scales(learner(2, loss=loss))


@pytest.mark.parametrize("loss", [None, "mse", "mae", "mean_absolute_error", "log_cosh", {"huber": {"delta": 2.0}}])
def test_others_are_taken_in_deviations(loss: Any) -> None:
    assert scales(learner(2, loss=loss))


def test_without_standardisation_the_label_stays_as_it_is() -> None:
    assert not scales(learner(2, model={"standardize": False}))


def scales(one: KerasLearner) -> bool:
    return any(isinstance(layer, RunningLabelScale) for layer in one.model.layers)
