"""Killed before, in and after a refit that its trial has spoken for, the model comes out the same to the last bit."""

import json
import random
from pathlib import Path

from processes import Zygote, history, killed, succeeded, summary

RECORDS, OTHER_UNITS = 2600, 1000
SETTINGS = """
source: {files: {path: stream.jsonl}}
samples: {features: {a: float, b: float, c: float}, label: y}
train: {xla: false, batch_size: 2, max_updates_per_call: 64}
validate: {prequential: {windows: [200], every: 500}}
drift: [{watch: features, detector: psi, reference: 500, window: 500}]
reactions: [{on: drift.confirmed, signal: features, do: [refit_standardization], cooldown: 0}]
checkpoint: {dir: state, every: {samples: 400, seconds: 1000}, keep: 3}
http: {listen: null}
"""
FAILPOINTS = ("loop.updated=kill@9", "checkpoint.after=kill@1", "history.write=kill@1", "loop.call.after=kill@3")


def prepared(folder: Path) -> Path:
    """Write settings and a stream whose columns come in other units at some point."""
    folder.mkdir()
    rng = random.Random(7)
    lines = []
    for number in range(RECORDS):
        row = {name: rng.gauss(0, 1) for name in "abc"}
        label = int(row["a"] - row["b"] + row["c"] / 2 > 0)
        if number >= OTHER_UNITS:
            row = {name: 40 * value + 300 for name, value in row.items()}
        lines.append(json.dumps({**row, "y": label}))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "learnd.yaml").write_text(SETTINGS)
    return folder


def test_killed_around_a_refit(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "run")
    succeeded(zygote.run(whole, "run", "learnd.yaml", "--json"))
    actions = [reaction["actions"] for reaction in history(whole / "state", "reaction")]
    assert {"refit_standardization": "done"} in actions
    for failpoint in FAILPOINTS:
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=failpoint))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert summary(folder / "state") == summary(whole / "state")
    for kind in ("score", "drift", "reaction", "reaction.outcome"):
        assert history(folder / "state", kind) == history(whole / "state", kind)
