"""The three uses of running statistics, on columns of twenty shapes, against NumPy's float64 over all values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from learnd.daemon.training.layers import RunningLabelScale, RunningStandardization, RunningStatistics
from learnd.daemon.training.runtime import tf
from learnd.daemon.values import Float64

ROWS = 20_000
FITTED = 10_000  # rows before a refit
STRAYS = {"one of 1e30": 1e30, "one of -1e30": -1e30}  # within `FITTED`; they count as ten deviations
AT = 7_000  # of the stray value

_rng = np.random.default_rng(8)
_row = np.arange(ROWS)


def _normal() -> Float64:
    return _rng.normal(size=ROWS)


COLUMNS: dict[str, Float64] = {
    "usual": _normal(),
    "shifted": 5 + 2 * _normal(),
    "large offset": 1e6 + _normal(),
    "large negative offset": -3e5 + 0.5 * _normal(),
    "tiny": 1e-9 * _normal(),
    "tiny with an offset": 1e-6 + 1e-9 * _normal(),
    "very tiny": 1e-30 * _normal(),
    "huge": 1e30 * _normal(),
    "seconds since 1970": 1.7e9 + 60.0 * _row,
    "pressure, rising": 101_325 + 50 * _normal() + 0.01 * _row,
    "falling": 1e4 - _row,
    "a season": 273.15 + 10 * np.sin(_row / 500) + _normal(),
    "skewed": np.exp(0.5 * _normal()),
    "uniform": _rng.uniform(0, 30, ROWS),
    "counts": _rng.poisson(3, ROWS).astype(np.float64),
    "0 or 1": (_rng.random(ROWS) < 0.4).astype(np.float64),
    "rarely 1": (_rng.random(ROWS) < 0.05).astype(np.float64),
    "always 0": np.zeros(ROWS),
    "always the same": np.full(ROWS, 1e9 / 7),
    **{name: 5 + 2 * _normal() for name in STRAYS},
}
NAMES = list(COLUMNS)
VALUES = np.stack(list(COLUMNS.values()), axis=1)
VARIES = np.ptp(VALUES, axis=0) > 0  # NumPy's deviation of a constant is what rounding leaves


def table() -> Any:
    """Return the columns as they come: float32, with the stray values."""
    values = VALUES.copy()
    for name, value in STRAYS.items():
        values[AT, NAMES.index(name)] = value
    return values.astype(np.float32)


def learn(layer: RunningStatistics, values: Any, batch: int) -> None:
    batches = tf.constant(values.reshape(-1, batch, values.shape[1]))

    @tf.function(jit_compile=True, autograph=False)
    def all_of(batches: Any) -> None:
        count = tf.shape(batches)[0]
        tf.while_loop(lambda k: k < count, lambda k: _with(layer.learn(batches[k]), k + 1), (tf.constant(0),))

    all_of(batches)


def _with(_: None, value: Any) -> Any:
    return value


def built(of: Callable[[], RunningStatistics]) -> RunningStatistics:
    layer = of()
    layer.build((None, len(NAMES)))
    return layer


def check(layer: RunningStatistics, mean: Float64, deviation: Float64) -> None:
    """A deviation from the right value is in shares of the deviation; a stray value may add a little."""
    found, spread = np.asarray(layer.mean), np.sqrt(np.asarray(layer.variance))
    for index, name in enumerate(NAMES):
        tolerance = 5e-3 if name in STRAYS else 1e-3
        assert abs(found[index] - mean[index]) <= tolerance * deviation[index] + 1e-7 * abs(mean[index]), name
        assert spread[index] == pytest.approx(deviation[index], rel=tolerance), name


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("of", [RunningStandardization, RunningLabelScale])
def test_mean_and_deviation_are_those_of_all_values(of: Callable[[], RunningStatistics], batch: int) -> None:
    layer = built(of)
    learn(layer, table(), batch)
    check(layer, VALUES.mean(axis=0), VALUES.std(axis=0) * VARIES)


@pytest.mark.parametrize("batch", [1, 16])
def test_a_refit_gives_those_of_the_latest_values(batch: int) -> None:
    layer = built(RunningStandardization)
    learn(layer, table()[:FITTED], batch)
    layer.start_refit()
    learn(layer, table()[FITTED : FITTED + 2000], batch)
    values = VALUES[: FITTED + 2000]
    share = batch / (125 + batch)
    weights = np.full(len(values), (1 - share) ** (2000 // batch) / FITTED)
    weights[FITTED:] = np.repeat(share * (1 - share) ** np.arange(2000 // batch)[::-1], batch) / batch
    mean = weights @ values
    check(layer, mean, np.sqrt(weights @ (values - mean) ** 2) * VARIES)


def test_each_column_comes_out_standardised() -> None:
    layer = built(RunningStandardization)
    learn(layer, table(), 1)
    found = np.asarray(layer(tf.constant(VALUES.astype(np.float32))))
    expected = (VALUES - VALUES.mean(axis=0)) / np.where(VARIES, VALUES.std(axis=0), np.inf)
    steps = np.spacing(np.abs(VALUES).astype(np.float32)) / np.where(VARIES, VALUES.std(axis=0), np.inf)
    assert (np.abs(found - np.clip(expected, -10, 10)) <= 0.05 + steps).all()
    assert (found[:, ~VARIES] == 0).all()


def test_labels_go_to_deviations_and_back() -> None:
    layer = built(RunningLabelScale)
    learn(layer, table(), 1)
    values = VALUES[:500].astype(np.float32)
    back = np.asarray(layer(layer.scaled(tf.constant(values))))
    assert (np.abs(back - values) <= 1e-6 * (VALUES.std(axis=0) + np.abs(values))).all()


@pytest.mark.parametrize("batch", [1, 16])
def test_a_value_that_a_constant_column_never_had_is_neutral(batch: int) -> None:
    layer = built(RunningStandardization)
    learn(layer, np.full((320, len(NAMES)), 0.1, np.float32), batch)
    assert (np.asarray(layer(tf.fill((1, len(NAMES)), 77.0))) == 0).all()
