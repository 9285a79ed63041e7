"""Streams that change, or are spoilt, each from a seed: features (n, columns) and labels 0 or 1 (n,)."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from learnd.daemon.values import Float32

Stream = tuple[Float32, Float32]


def sea(seed: int, samples: int = 40_000, every: int = 10_000) -> Stream:
    """Return SEA without label noise: the threshold changes at once (Street, Kim, KDD 2001)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 10, (samples, 3))
    thresholds = np.array([8.0, 9.0, 7.0, 9.5])[np.arange(samples) // every % 4]
    return _stream(x, x[:, 0] + x[:, 1] <= thresholds)


def stationary(seed: int, samples: int = 100_000, noise: float = 0.1) -> Stream:
    """Return a fixed curved boundary in ten columns, with some labels wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 10))
    weights, curve = rng.normal(size=(2, 10))
    label = x @ weights + np.abs(x) @ curve > 0.8 * curve.sum()  # the mean of |x| is 0.8
    return _stream(x, label ^ (rng.random(samples) < noise))


def hyperplane(seed: int, samples: int = 60_000, turns: float = 3.0) -> Stream:
    """Return a plane through the origin of eight columns that turns slowly, with 5 % of the labels wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8))
    angle = np.arange(samples)[:, None] / samples * 2 * np.pi * turns + np.arange(8) * np.pi / 8
    return _stream(x, ((x * np.cos(angle)).sum(axis=1) > 0) ^ (rng.random(samples) < 0.05))


def rescaled(seed: int, samples: int = 60_000) -> Stream:
    """Return a linear concept that stays, in features that are measured in other units from half-way on."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 8))
    label = x @ rng.normal(size=8) > 0
    factors, offsets = 10 ** rng.uniform(-2, 2, 8), rng.normal(size=8) * 20
    x[samples // 2 :] = x[samples // 2 :] * factors + offsets
    return _stream(x, label ^ (rng.random(samples) < 0.05))


def poisoned(seed: int, samples: int = 100_000) -> tuple[Stream, Stream]:
    """Return a clean stream, and the same one with 1 % of wrong labels, in bursts of 100, and 0.1 % huge features.

    Features that are not finite never reach a model: decoding makes dead letters of such records.
    """
    x, y = stationary(seed, samples, noise=0.05)
    rng = np.random.default_rng(seed + 1000)
    bad_x, bad_y = x.copy(), y.copy()
    for start in rng.choice(samples // 100, samples // 10_000, replace=False) * 100:
        bad_y[start : start + 100] = 1 - bad_y[start : start + 100]
    rows = rng.choice(samples, samples // 1000, replace=False)
    columns = rng.integers(0, x.shape[1], len(rows))
    bad_x[rows, columns] = (rng.choice([-1, 1], len(rows)) * 10 ** rng.uniform(3, 30, len(rows))).astype(np.float32)
    return (x, y), (bad_x, bad_y)


def elec2(path: Path) -> Stream:
    """Return Elec2 as its file has it."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.reader(file))
    table = np.array(rows[1:], np.float64)
    label = rows[0].index("down")
    return _stream(np.delete(table, label, axis=1), table[:, label] > 0.5)


def _stream(x: object, label: object) -> Stream:
    return np.asarray(x, np.float32), np.asarray(label, np.float32)
