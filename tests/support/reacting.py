"""A stream on which every kind of drift and reaction occurs, and settings with all of them on."""

import json
import random
from pathlib import Path
from typing import Any

RECORDS = 4000
_TURN, _SCALE, _HUGE = 1500, 2600, range(3240, 3290)  # the first record of each change, and the range of the last

SETTINGS = """
model: {{build: "reacting_models:{model}"}}
source: {{files: {{path: stream.jsonl}}}}
samples:
  features: {{id: float, a: float, b: float}}
  label: y
train: {{batch_size: {batch}, max_updates_per_call: 32, xla: {xla}, optimizer: {{adam: {{learning_rate: 0.02}}}}}}
validate:
  prequential: {{windows: [200], every: 500}}
  holdout: {{share: 0.05, size: 50, every: 700}}
drift:
  - {{watch: error, detector: adwin, warn: hddm_w, quiet: 600}}
  - {{watch: loss, detector: page_hinkley, arguments: {{threshold: 20}}}}
  - {{watch: features, detector: psi, reference: 500, window: 150, columns: [a, b]}}
  - {{watch: labels, detector: ks, reference: 300, window: 150, renew: false}}
reactions:
  - {{on: drift.warning, do: [log, reset_moments, {{trial: {{of: {{learning_rate: {{times: 5}}}}, samples: 700}}}}],
      cooldown: 300}}
  - {{on: drift.confirmed, signal: error, do: [checkpoint, {{learning_rate: {{times: 3, over: 200}}}}], cooldown: 200}}
  - {{on: drift.confirmed, signal: features, do: [refit_standardization], cooldown: 0}}
  - {{on: score.plateau, window: 300, do: [log], cooldown: 300}}
  - {{on: score.drop, margin: 0.05, do: [log], cooldown: 0}}
  - {{on: update.non_finite, after: 3, do: [{{roll_back: {{every: 400, most: 9}}}}], cooldown: 0}}
challengers:
  - {{name: slow, train: {{optimizer: {{adam: {{learning_rate: 0.0001}}}}}}, warm_up: 200}}
  - {{name: quick, train: {{optimizer: {{adam: {{learning_rate: 0.1}}}}}}, warm_up: 300}}
checkpoint: {{dir: state, every: {{samples: 250, seconds: 1000}}, keep: 3}}
http: {{listen: null}}
"""


def prepare(folder: Path, model: str, batch: int, *, xla: bool) -> Path:
    """Write stream and settings into a new folder, where the state will be, too."""
    folder.mkdir()
    rng = random.Random(12)
    lines = [json.dumps(_record(number, rng)) for number in range(RECORDS)]
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "learnd.yaml").write_text(SETTINGS.format(model=model, batch=batch, xla=str(xla).lower()))
    return folder


def _record(number: int, rng: random.Random) -> dict[str, Any]:
    """First the label is inverted, then a feature changes its scale, then some values overflow if squared."""
    a, b = rng.gauss(0, 1), rng.gauss(0, 1)
    record: dict[str, Any] = {"id": number, "a": a, "b": b, "y": int((a + b > 0) == (number < _TURN))}
    if number >= _SCALE:
        record["b"] *= 20
    if number in _HUGE:
        record["a"] = 1e30
    if number % 50 == 7:
        record["a"] = "text"
    return record
