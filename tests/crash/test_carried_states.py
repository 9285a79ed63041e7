"""A recurrent model that carries its state from sample to sample, killed, comes out the same to the last bit."""

import json
import random
from pathlib import Path

from processes import Zygote, history, whole_and_killed
from safetensors.numpy import load_file

RECORDS, STEPS, WIDTH = 600, 3, 2

NETWORK = f"""
import keras
def build(spec):
    given = keras.Input(batch_shape=(1, {STEPS}, {WIDTH}), name="steps")
    hidden = keras.layers.GRU(6, stateful=True)(given)
    model = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy")
    return model
"""
SETTINGS = f"""
model: {{build: "network.py:build"}}
source: {{files: {{path: stream.jsonl}}}}
samples:
  features: {{steps: {{vector: {STEPS * WIDTH}}}}}
  inputs: {{steps: {{features: [steps], shape: [{STEPS}, {WIDTH}]}}}}
  label: y
train: {{batch_size: 1, max_updates_per_call: 16}}
validate: {{holdout: {{share: 0.1, size: 30, every: 200}}, prequential: {{windows: [200], every: 200}}}}
checkpoint: {{every: {{samples: 90, seconds: 1000}}}}
http: {{listen: null}}
"""


def prepared(folder: Path) -> Path:
    """Write a stream in which the label is what the record before said."""
    folder.mkdir()
    rng = random.Random(8)
    lines, before = [], 0.0
    for _ in range(RECORDS):
        steps = [rng.choice([-1.0, 1.0])] * STEPS * WIDTH
        lines.append(json.dumps({"steps": steps, "y": int(before > 0)}))
        before = steps[-1]
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "network.py").write_text(NETWORK)
    (folder / "learnd.yaml").write_text(SETTINGS)
    return folder


def test_killed_it_remembers_what_it_carried(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    at = ("loop.updated=kill@3", "checkpoint.rename.before=kill@1", "loop.call.after=kill@9")
    expected, found = whole_and_killed(zygote, whole, folder, *at)
    assert found["digest"] == expected["digest"]
    assert found["scores"] == expected["scores"]
    assert found["samples_trained"] + found["samples_held_out"] == RECORDS
    assert history(folder / "state") == history(whole / "state")
    newest = max((folder / "state/checkpoints").glob("[0-9]*"))
    carried = {name: array for name, array in load_file(newest / "arrays.safetensors").items() if "/carried/" in name}
    assert any(array.any() for array in carried.values()), "what it carried is in the checkpoint"
