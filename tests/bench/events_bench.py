"""What the usual drift detection and reactions cost, with an event every 3,000 samples and without any."""

from __future__ import annotations

from typing import Any

import numpy as np
from bare import data
from daemon_bench import FEATURES, speed, stream
from report import Row, ratio_row, ratios

_EVERY = 3_000  # samples between two events
_SAMPLES = {1: 400_000, 32: 1_200_000}


def rows() -> list[Row]:
    return rows_of(1)


def rows_of(batch_size: int) -> list[Row]:
    """Return the rows of a batch size: a process runs only one of them, since TensorFlow reads some flags once."""
    network = f"MLP {FEATURES}-64-32-1, B = {batch_size}"
    what = f"the daemon with the default preset, {network}, JSON lines of {FEATURES} features"
    train = {"train": {"batch_size": batch_size}}
    found = []
    for name, target, (x, y) in (
        ("an event every 3,000 samples", "≥ 0.9 ×", _eventful(_SAMPLES[batch_size])),
        ("a stationary stream", "≥ 0.95 ×", data(_SAMPLES[batch_size], FEATURES)),
    ):
        with stream(x, y) as folder:
            pairs = ratios(lambda: speed(folder, **train), lambda: speed(folder, **train, drift=[], reactions=[]), 5)
        found.append(ratio_row(f"{what}, {name}: against `drift: []` and `reactions: []`", target, pairs))
    return found


def _eventful(samples: int) -> tuple[Any, Any]:
    """Return a stream whose labels follow another rule, and whose features move, every 3,000 samples."""
    rng = np.random.default_rng(1)
    x, _ = data(samples, FEATURES)
    stretch = np.arange(samples) // _EVERY
    rule = rng.normal(size=(stretch[-1] + 1, FEATURES))
    y = ((x * rule[stretch]).sum(axis=1) > 0).astype(np.float32)[:, None]
    moved = rng.normal(size=(stretch[-1] + 1, FEATURES)).astype(np.float32)
    return x + moved[stretch], y
