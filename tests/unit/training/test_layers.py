"""The running standardisation against the statistics of everything it has seen."""

from typing import Any

import numpy as np
import pytest

from daemon.training.layers import RunningStandardization, TakeColumns


def fed(values: Any, batch: int, **config: Any) -> RunningStandardization:
    layer = RunningStandardization(**config)
    layer.build((None, values.shape[1]))
    for start in range(0, len(values), batch):
        layer(values[start : start + batch], training=True)
    return layer


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
    values = np.concatenate([np.zeros((500, 1)), np.full((500, 1), 10.0)]).astype(np.float32)
    assert np.asarray(fed(values, 1).mean).item() == pytest.approx(5, rel=1e-3)
    assert np.asarray(fed(values, 1, horizon=50).mean).item() == pytest.approx(10, rel=1e-2)


def test_a_stray_value_is_limited() -> None:
    layer = fed(np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32), 1)
    assert np.asarray(layer(np.array([[1e9]], np.float32))).item() == 10


def test_configurations_come_back() -> None:
    layer = RunningStandardization(horizon=50, limit=3.0)
    assert RunningStandardization.from_config(layer.get_config()).get_config() == layer.get_config()
    columns = TakeColumns([2, 0])
    assert TakeColumns.from_config(columns.get_config()).indices == [2, 0]
    np.testing.assert_array_equal(np.asarray(columns(np.array([[1.0, 2, 3]]))), [[3, 1]])
