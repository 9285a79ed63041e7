"""The whole daemon, from a file of JSON lines to weights: decoding, scores, journal and checkpoints all on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bare import data, xla_loop
from report import Row, ratio_row, ratios, timed

from learnd.daemon.compose import compose
from learnd.daemon.config.settings import Settings
from learnd.daemon.loop import Loop
from learnd.daemon.operate.health import Health
from learnd.daemon.operate.metrics import Metrics
from learnd.daemon.operate.summary import Summary
from learnd.daemon.operate.telemetry import Telemetry
from learnd.daemon.run import Options, run
from learnd.daemon.state.lock import StateLock

FEATURES, SAMPLES, FEW = 8, 400_000, 30_000


def rows() -> list[Row]:
    x, y = data(SAMPLES, FEATURES)
    loop, fused_loop = xla_loop(FEATURES), xla_loop(FEATURES, one_kernel=True)

    def by_hand() -> float:
        return timed(lambda: loop(x, y), SAMPLES)

    model: dict[str, Any] = {"model": {"standardize": False}, "train": {"optimizer": "adam"}}
    with stream(x, y) as folder:
        same = ratios(lambda: speed(folder, **model, drift=[], reactions=[]), by_hand, 5)
        fused = ratios(
            lambda: speed(folder, **model, drift=[], reactions=[]), lambda: timed(lambda: fused_loop(x, y), SAMPLES), 5
        )
        reacting = ratios(lambda: speed(folder, **model), by_hand, 5)
        preset = ratios(lambda: speed(folder), by_hand, 5)
        river_mlp = ratios(lambda: speed(folder), lambda: river(x, y), 5)
        river_linear = ratios(lambda: speed(folder, model={"preset": "linear"}), lambda: river(x, y), 5)
    loop_row, river_row = (
        "against the bare XLA loop on arrays in memory",
        "against River's scaler and logistic regression",
    )
    network = "the daemon, MLP 8-64-32-1, Adam, B = 1, JSON lines of 8 features"
    return [
        ratio_row(f"{network}, without drift detection and reactions, {loop_row}", "≥ 0.8 ×", same),
        ratio_row(f"the same, {loop_row}, compiled as one kernel as learnd's is", "", fused),
        ratio_row(f"{network}, {loop_row}", "", reacting),
        ratio_row(f"the daemon with the default preset, {loop_row}", "", preset),
        ratio_row(f"the daemon with the default preset, {river_row}, which get parsed dicts", "≥ 3 ×", river_mlp),
        ratio_row(f"the daemon with the `linear` preset, {river_row}, which get parsed dicts", "≥ 3 ×", river_linear),
    ]


@contextmanager
def stream(x: Any, y: Any) -> Iterator[Path]:
    """Write the samples as JSON lines into a folder that goes again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "stream.jsonl").open("w") as file:
            for features, label in zip(x.round(6).tolist(), y[:, 0].astype(int).tolist(), strict=True):
                record = {f"x{index}": value for index, value in enumerate(features)}
                file.write(json.dumps({**record, "y": label}) + "\n")
        yield folder


def settings(folder: Path, **sections: Any) -> Settings:
    features = {f"x{index}": "float" for index in range(FEATURES)}
    state = tempfile.mkdtemp(dir=folder)
    return Settings.model_validate(
        {
            "source": {"files": {"path": str(folder / "stream.jsonl")}},
            "samples": {"features": features, "label": "y"},
            "checkpoint": {"dir": f"{state}/state"},
            **sections,
        }
    )


def train(folder: Path, **sections: Any) -> Summary:
    return run(settings(folder, **sections), lambda: False, Options(http=False, display=False))


@contextmanager
def composed(chosen: Settings) -> Iterator[tuple[Loop, Metrics]]:
    """Build the daemon without what stands around it, to look at it while it runs."""
    metrics, lock = Metrics(), StateLock(chosen.checkpoint.dir)
    lock.acquire()
    try:
        yield compose(chosen, lock, Telemetry(metrics, Health(), None, total_known=False)), metrics
    finally:
        lock.release()


def speed(folder: Path, **sections: Any) -> float:
    """Return samples/s from the first record read to the last checkpoint written."""
    return train(folder, **sections).samples_per_second


def river(x: Any, y: Any) -> float:
    from river import linear_model, preprocessing

    records = [{f"x{index}": value for index, value in enumerate(row)} for row in x[:FEW].tolist()]
    labels = [bool(label) for label in y[:FEW, 0]]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()

    def learn() -> None:
        for record, label in zip(records, labels, strict=True):
            model.predict_proba_one(record)
            model.learn_one(record, label)

    return timed(learn, FEW)
