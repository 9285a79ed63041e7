"""How long checkpoints stop the loop."""

from __future__ import annotations

import statistics

from bare import data
from daemon_bench import FEATURES, composed, settings, stream
from report import Row, timed

SAMPLES, TURNS = 400_000, 5
MILLION = {"hidden": [1000, 990], "standardize": False}


def rows() -> list[Row]:
    x, y = data(SAMPLES, FEATURES)
    shares = []
    with stream(x, y) as folder:
        for _ in range(TURNS):
            chosen = settings(folder, model=MILLION, train={"batch_size": 32})
            with composed(chosen) as (loop, metrics):
                rate = timed(lambda: loop.run(lambda: False), SAMPLES)
                parameters = loop.learner.trainable_parameters
            stalled = metrics.registry.get_sample_value("learnd_checkpoint_stall_seconds_sum") or 0.0
            commits = metrics.registry.get_sample_value("learnd_checkpoint_stall_seconds_count") or 0.0
            shares.append((stalled * rate / SAMPLES, stalled / commits, rate))
    share, each, rate = (statistics.median(column) for column in zip(*shares, strict=True))
    what = f"share of time that checkpoints stop the loop, every 50,000 samples, {parameters:,} parameters, B = 32"
    spread = f"{min(shares)[0]:.2%} to {max(shares)[0]:.2%}"
    return [Row(what, "≤ 2 %", f"{share:.2%} ({spread})", f"{each * 1000:.1f} ms a checkpoint, {rate:,.0f} samples/s")]
