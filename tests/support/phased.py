"""A model that is fine-tuned in three phases, with the guard on, on a stream with outliers.

If it is contested, it learns badly. Its next phase is then tried on a copy, and a challenger comes to lead that has
phases, too; it is taken back with the model, and wins again.
"""

import json
import random
from pathlib import Path
from typing import Any

RECORDS = 6000  # on a busy disk the loop gets further before a checkpoint is there
BATCH = 3
ENDS = [800, 1700]  # samples at the ends of the first two phases: not multiples of the batch

_SETTINGS = """
model: {{build: "witness_models:noisy"}}
source: {{files: {{path: stream.jsonl}}}}
samples:
  features: {{id: float, a: float, b: float}}
  label: y
  weight: weight
train: {{batch_size: {batch}, max_updates_per_call: {longest}, xla: {xla}{train}}}
phases:
  - {{unfreeze: 1, until: {{samples: 800}}}}
  - unfreeze: 2
    until: {{samples: 900}}
    warm_up: 300
    learning_rate: {{exponential_decay: {{initial_learning_rate: 0.02, decay_steps: 500, decay_rate: 0.5}}}}
    groups: [{{layers: {{type: Dense}}, times: 0.5}}]
  - {{unfreeze: "*", batch_normalization: training, learning_rate: 0.005}}
validate:
  prequential: {{windows: [200], every: 500}}
  holdout: {{share: 0.05, size: 50, every: 700}}
drift: []
{contest}
checkpoint: {{dir: state, every: {{samples: 240, seconds: 1000}}, keep: 3}}
http: {{listen: null}}
"""
# At first it hardly moves; later, its weights decay with each step.
_HINDERED = ", optimizer: {adam: {learning_rate: 0.000001, weight_decay: 1}}"
_CONTEST = """
reactions:
  - {on: loss.spike, after: 1, do: [{trial: {of: next_phase, samples: 700}}], cooldown: 100000}
  - {on: update.non_finite, after: 3, do: [{roll_back: {every: 400}}]}
challengers:
  - {name: quick, train: {optimizer: {adam: {learning_rate: 0.01}}}, warm_up: 900}
  - {name: own, model: {preset: linear}, train: {optimizer: {sgd: {learning_rate: 0.000001}}}, warm_up: 0}
"""
_RUINED = range(1330, 1345)  # the records behind which a contested model goes back


def prepare(folder: Path, *, longest: int = 16, xla: bool = False, contested: bool = False) -> Path:
    """Write stream and settings into a new folder, where the state will be, too."""
    folder.mkdir()
    write_stream(folder, ruined=_RUINED if contested else range(0))
    more = {"train": _HINDERED, "contest": _CONTEST} if contested else {"train": "", "contest": "reactions: []"}
    text = _SETTINGS.format(batch=BATCH, longest=longest, xla=str(xla).lower(), **more)
    (folder / "learnd.yaml").write_text(text)
    return folder


def write_stream(folder: Path, *, ruined: range = range(0)) -> None:
    """Write records whose ids count up. Every 200th has a weight that would ruin the model, and every 90th has one so
    large that its loss is not finite, as all of those have that are `ruined`.
    """
    rng = random.Random(11)
    lines = []
    for number in range(RECORDS):
        a, b = rng.gauss(0, 1), rng.gauss(5, 3)
        infinite = number % 90 == 89 or number in ruined
        weight = 1e12 if number % 200 == 150 else 3e38 if infinite else 1.0
        record: dict[str, Any] = {"id": number, "a": a, "b": b, "y": int(a * b > 0), "weight": weight}
        lines.append(json.dumps(record))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")


def phase_of(state: Path) -> int | None:
    """Return the phase of the newest checkpoint; None if there is none yet."""
    newest = max((state / "checkpoints").glob("[0-9]*"), default=None)
    return None if newest is None else int(json.loads((newest / "facts.json").read_text())["learner"]["phase"])
