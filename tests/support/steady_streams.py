"""Streams whose concept stays, each from a seed: whatever reacts on one of them reacts on nothing.

All have the same columns: hour and weekday as learnd reads them from a time, two features, and a number that is
often a counter or another feature that goes its own way.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.values import Float32, SampleSpec

_DAY = 86_400
_FEATURES = {"at": {"timestamp": ["hour", "weekday"]}, "a": "float", "b": "float", "n": "float"}


class Steady(NamedTuple):
    """A stream: its task, features (m, 7) and labels (m, 1)."""

    task: str
    x: Float32
    y: Float32


def spec_of(task: str) -> SampleSpec:
    label: dict[str, Any] = {"field": "y", "classes": 4} if task == "classes" else {"field": "y"}
    return SamplesSettings.model_validate({"features": _FEATURES, "label": label}).spec(task)


def _made(task: str, seconds: Any, columns: tuple[Any, Any, Any], label: Any) -> Steady:
    turns = [2 * np.pi * seconds / length for length in (_DAY, 7 * _DAY)]
    clock = [function(turn) for turn in turns for function in (np.sin, np.cos)]
    x = np.stack(np.broadcast_arrays(*clock, *columns), axis=1)
    return Steady(task, x.astype(np.float32), np.asarray(label, np.float32)[:, None])


def _noises(seed: int, count: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    return (rng, np.arange(count), *rng.normal(size=(4, count)))


def every_second(seed: int, count: int) -> Steady:
    """A record a second, and a label that has little to do with anything."""
    _, order, a, b, n, noise = _noises(seed, count)
    return _made("binary", order, (a, b, n), a + 1.5 * noise > 1.9)


def few_a_day(seed: int, count: int) -> Steady:
    """Twenty records a day, at any time."""
    rng, order, a, b, n, noise = _noises(seed, count)
    seconds = order * (_DAY / 20) + rng.uniform(0, _DAY, count)
    return _made("binary", seconds, (a, b, n), a - b + np.cos(2 * np.pi * seconds / _DAY) + noise > 0)


def rare(seed: int, count: int) -> Steady:
    """One per cent of positives."""
    _, order, a, b, n, noise = _noises(seed, count)
    return _made("binary", order * 3, (a, b, n), a + b + noise > 4.03)


def trend(seed: int, count: int) -> Steady:
    """Two features that rise and fall for ever, and do not matter."""
    _, order, a, b, n, noise = _noises(seed, count)
    return _made("binary", order * 10, (a, b + order / 20_000, 7 * n - order / 3_000), a + 0.7 * noise > 0.3)


def season(seed: int, count: int) -> Steady:
    """A feature that the label follows, and that goes up and down with the day."""
    _, order, a, b, n, noise = _noises(seed, count)
    turn = 2 * np.pi * order / 17_280
    temperature = 15 + 8 * np.sin(turn) + b
    return _made("binary", order * 5, (a, temperature, n), a + 0.3 * (temperature - 15) + noise > 0.5)


def nights(seed: int, count: int) -> Steady:
    """A feature that hardly varies by night, and labels that are noisier by day."""
    _, order, a, b, n, noise = _noises(seed, count)
    awake = np.clip(np.sin(2 * np.pi * order / 11_000), 0.05, 1)
    return _made("binary", order * (_DAY / 11_000), (a, 10 + 5 * awake * b, n), a + awake * (b + noise) > 0)


def correlated(seed: int, count: int) -> Steady:
    """Records that come in sessions: features wander, and so does what the label has beside them."""
    rng, order, *_ = _noises(seed, count)
    drift = rng.normal(size=(4, count)) * np.sqrt(1 - 0.99**2)
    walk = np.zeros((4, count))
    for index in range(1, count):
        walk[:, index] = 0.99 * walk[:, index - 1] + drift[:, index]
    a, b, n, noise = walk
    return _made("binary", order * 2, (a, b, n), a - b + noise > 0)


def heavy_tails(seed: int, count: int) -> Steady:
    """Features with outliers of every size."""
    rng, order, *_, noise = _noises(seed, count)
    a, n = rng.standard_t(1.5, (2, count))
    b = rng.lognormal(0, 2, count)
    return _made("binary", order, (a, b, n), a + np.log(b) + noise > 0)


def counter(seed: int, count: int) -> Steady:
    """Four classes, the number of the record, and the time in seconds since 1970 as a number."""
    _, order, a, b, n, _ = _noises(seed, count)
    label = (a > 0.3) * 2 + (b + 0.5 * n > 0)
    return _made("classes", order * 60, (a, b, 1_700_000_000.0 + order * 60), label)


def numbers(seed: int, count: int) -> Steady:
    """A regression, with noise whose tails are heavy."""
    rng, order, a, b, n, _ = _noises(seed, count)
    return _made("regression", order * 30, (a, b, n), a - 0.5 * b * a + 0.5 * rng.standard_t(3, count))


STREAMS: Mapping[str, Callable[[int, int], Steady]] = {
    function.__name__.replace("_", " "): function
    for function in (
        every_second,
        few_a_day,
        rare,
        trend,
        season,
        nights,
        correlated,
        heavy_tails,
        counter,
        numbers,
    )
}
"""By name: a function of a seed and a number of samples."""
