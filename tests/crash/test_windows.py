"""A model of windows over the records of many keys, killed, comes out the same to the last bit."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from processes import Zygote, dead_letters, history, whole_and_killed

from learnd.daemon.state.look import checkpoint_of

RECORDS, BROKEN, KEYS, KEPT = 1500, 30, 9, 6

SETTINGS = """
model: {preset: mlp, task: regression}
source: {files: {path: stream.jsonl}}
samples:
  key: of
  features: {v: float, kind: {values: [a, b]}, at: {timestamp: [hour]}}
  window: {length: 5, ahead: %d, keys: %d}
  label: %s
train: {batch_size: 2, max_updates_per_call: 16}
validate: {holdout: {share: 0.1, size: 50, every: 300}, prequential: {windows: [200], every: 300}}
checkpoint: {every: {samples: 200, seconds: 1000}}
http: {listen: null}
"""


def prepared(folder: Path, ahead: int) -> Path:
    """Write a stream of more keys than are kept, some of its records broken."""
    folder.mkdir()
    rng, times = random.Random(4), [0] * KEYS
    lines = []
    for number in range(RECORDS):
        key = rng.choices(range(KEYS), [9, 8, 7, 6, 5, 4, 3, 2, 1])[0]
        times[key] += 1
        value = math.sin(times[key] / 3 + key) + rng.gauss(0, 0.05)
        broken = number % (RECORDS // BROKEN) == 9
        at, kind = number * 600, rng.choice("ab")
        lines.append(json.dumps({"of": key, "v": "x" if broken else value, "kind": kind, "at": at, "y": 2 * value}))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "learnd.yaml").write_text(SETTINGS % (ahead, KEPT, "v" if ahead else "y"))
    return folder


@pytest.mark.parametrize("ahead", [0, 2])
def test_killed_within_windows_it_comes_out_the_same(zygote: Zygote, tmp_path: Path, ahead: int) -> None:
    whole, folder = prepared(tmp_path / "whole", ahead), prepared(tmp_path / "killed", ahead)
    at = ("journal.append.after=kill@7", "loop.updated=kill@9", "checkpoint.rename.before=kill@1")
    expected, found = whole_and_killed(zygote, whole, folder, *at)
    for key in ("digest", "scores", "baselines", "samples_rejected"):
        assert found[key] == expected[key], key
    assert sum(found["samples_rejected"].values()) == BROKEN
    assert found["scores"]["rmse"] < found["baselines"]["running_mean"]["rmse"], "it sees what came before"
    assert dead_letters(folder / "state") == dead_letters(whole / "state")
    assert history(folder / "state", "score") == history(whole / "state", "score")
    assert recent(folder) == recent(whole)


def recent(folder: Path) -> dict[str, bytes]:
    """Return what the newest checkpoint has of the records that later windows are made of."""
    checkpoint = checkpoint_of(folder / "state")
    arrays = checkpoint.state.part("progress").part("recent").arrays
    assert len(arrays["lengths"]) == KEPT
    return {name: np.ascontiguousarray(array).tobytes() for name, array in arrays.items()}
