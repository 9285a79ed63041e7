"""The running standardisation against the statistics of everything it has seen."""

from typing import Any

import numpy as np
import pytest

from learnd.daemon.training.layers import RunningStandardization, TakeColumns
from learnd.daemon.training.runtime import tf


def fed(values: Any, batch: int, **config: Any) -> RunningStandardization:
    layer = RunningStandardization(**config)
    layer.build((None, values.shape[1]))
    feed(layer, values, batch)
    return layer


def feed(layer: RunningStandardization, values: Any, batch: int) -> None:
    learn = tf.function(lambda rows: layer(rows, training=True), reduce_retracing=True)
    for start in range(0, len(values), batch):
        learn(tf.constant(values[start : start + batch]))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_statistics_are_those_of_all_samples(batch: int) -> None:
    values = np.random.default_rng(0).normal([5, -3, 0], [2, 0.1, 100], size=(500, 3)).astype(np.float32)
    layer = fed(values, batch)
    np.testing.assert_allclose(np.asarray(layer.mean), values.mean(axis=0), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.asarray(layer.variance), values.var(axis=0), rtol=1e-3)
    assert int(np.asarray(layer.count)) == 500


def test_the_first_sample_maps_to_zero_and_early_ones_stay_small() -> None:
    layer = RunningStandardization()
    layer.build((None, 1))
    assert np.asarray(layer(np.array([[1e6]], np.float32), training=True)).item() == 0
    assert abs(np.asarray(layer(np.array([[-1e6]], np.float32), training=True)).item()) <= np.sqrt(2) + 1e-3


def test_only_training_changes_it() -> None:
    layer = fed(np.ones((10, 2), np.float32), 1)
    before = [weight.numpy().copy() for weight in layer.weights]
    layer(np.full((5, 2), 9, np.float32), training=False)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_horizon_lets_old_samples_fade() -> None:
    noise = np.random.default_rng(0).normal(size=(1000, 1)) * 3
    values = (noise + np.repeat([[0.0], [10.0]], 500, axis=0)).astype(np.float32)
    assert np.asarray(fed(values, 1).mean).item() == pytest.approx(5, abs=0.2)
    assert np.asarray(fed(values, 1, horizon=50).mean).item() == pytest.approx(10, abs=1)


@pytest.mark.parametrize("batch", [1, 8])
def test_strays_do_not_blind_it(batch: int) -> None:
    values = np.random.default_rng(0).normal(5, 2, size=(5000, 1)).astype(np.float32)
    values[500::1000] *= 1e6
    assert np.asarray(fed(values, batch).variance).item() == pytest.approx(4, rel=0.25)


@pytest.mark.parametrize("at", [2, 6, 40])
def test_a_stray_value_among_the_first_ones_does_not_blind_it_either(at: int) -> None:
    values = np.random.default_rng(0).normal(5, 2, size=(5000, 1)).astype(np.float32)
    values[at] = 3e38
    layer = fed(values, 1)
    assert np.asarray(layer.mean).item() == pytest.approx(5, abs=0.2)
    assert np.sqrt(np.asarray(layer.variance)).item() == pytest.approx(2, rel=0.25)


def test_it_follows_a_scale_that_changes_for_good() -> None:
    values = np.random.default_rng(0).normal(5, 2, size=(5000, 1)).astype(np.float32)
    values[1000:] *= 1e6
    assert np.sqrt(np.asarray(fed(values, 1).variance)).item() == pytest.approx(2e6, rel=0.4)


@pytest.mark.parametrize("scale", [1e3, 1e-3, 1])
def test_a_refit_forgets_the_old_scale_within_its_samples(scale: float) -> None:
    rng = np.random.default_rng(0)
    layer = fed(rng.normal(5, 2, size=(20_000, 1)).astype(np.float32), 64)
    layer.start_refit()
    later = (rng.normal(5, 2, size=(4000, 1)) * scale).astype(np.float32)
    feed(layer, later, 1)
    assert np.asarray(layer.mean).item() == pytest.approx(5 * scale, rel=0.1)
    assert np.sqrt(np.asarray(layer.variance)).item() == pytest.approx(2 * scale, rel=0.1)
    assert int(np.asarray(layer.refit)) == 0
    assert int(np.asarray(layer.count)) == 125 + 2000 + 1


def test_frozen_it_keeps_its_statistics() -> None:
    layer = fed(np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), 1)
    layer.trainable = False
    before = [weight.numpy().copy() for weight in layer.weights]
    layer(np.full((5, 2), 9, np.float32), training=True)
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_stray_value_is_limited() -> None:
    layer = fed(np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32), 1)
    assert np.asarray(layer(np.array([[1e9]], np.float32))).item() == 10


def test_configurations_come_back() -> None:
    layer = RunningStandardization(horizon=50, limit=3.0)
    assert RunningStandardization.from_config(layer.get_config()).get_config() == layer.get_config()
    columns = TakeColumns([2, 0])
    assert TakeColumns.from_config(columns.get_config()).indices == [2, 0]
    np.testing.assert_array_equal(np.asarray(columns(np.array([[1.0, 2, 3]]))), [[3, 1]])
