"""What it costs to look for drift, and to be ready to react: the whole daemon on a stationary stream, B = 1."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bare import data
from report import Row, ratio_row, ratios

from learnd.daemon.config.settings import Settings
from learnd.daemon.run import Options, run

_FEATURES, _SAMPLES = 20, 200_000
_WATCHES = [{"watch": "error", "detector": "adwin"}, {"watch": "features", "detector": "psi"}]


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "stream.jsonl")
        without: dict[str, Any] = {"drift": [], "reactions": []}

        def off() -> float:
            return _speed(folder, without)

        watching = ratios(lambda: _speed(folder, {**without, "drift": _WATCHES}), off)
        usual = ratios(lambda: _speed(folder, {}), off)
    what = "the daemon, MLP 20-64-32-1, B = 1, JSON lines of 20 features"
    return [
        ratio_row(f"{what}: ADWIN on errors and PSI on features, against neither", "≥ 0.9 ×", watching),
        ratio_row(f"{what}: the usual drift detection and reactions, against neither", "", usual),
    ]


def _write(path: Path) -> None:
    x, y = data(_SAMPLES, _FEATURES)
    with path.open("w") as file:
        for features, label in zip(x.round(6).tolist(), y[:, 0].astype(int).tolist(), strict=True):
            record = {f"x{index}": value for index, value in enumerate(features)}
            file.write(json.dumps({**record, "y": label}) + "\n")


def _speed(folder: Path, sections: dict[str, Any]) -> float:
    """Return samples/s from the first record read to the last checkpoint written."""
    features = {f"x{index}": "float" for index in range(_FEATURES)}
    settings = Settings.model_validate(
        {
            "source": {"files": {"path": str(folder / "stream.jsonl")}},
            "samples": {"features": features, "label": "y"},
            "checkpoint": {"dir": f"{tempfile.mkdtemp(dir=folder)}/state"},
            **sections,
        }
    )
    return run(settings, lambda: False, Options(http=False, display=False)).samples_per_second
