"""A stream, settings and failpoints. However the daemon is killed, the same model must come out."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from event_files import told_in
from processes import dead_letters, history, summary
from safetensors.numpy import load_file

RECORDS = 4000

_SETTINGS = """
model: {{build: "witness_models:{model}", task: {task}}}
source: {{files: {{path: stream.jsonl}}}}
samples:
  features: {{id: float, a: float, b: float, c: {{hash: 50}}}}
  label: {label}
train: {{batch_size: {batch}, max_updates_per_call: 16, xla: {xla}{train}}}
validate:
  prequential: {{windows: [200], every: 500}}
  holdout: {{share: 0.05, size: 50, every: 700}}
checkpoint: {{dir: state, every: {{samples: 250, seconds: 1000}}, keep: 3}}
predictions: {{file: predictions.jsonl}}
history: {{tensorboard: logs}}
certainty: {{coverage: 0.9, calibrate: temperature{certainty}}}
http: {{listen: null}}
"""

# Before and after every step of the commit, of the journal's append and of the writer's work, and between them.
FAILPOINTS = [
    "journal.append.before", "journal.append.after", "inbox.remove.before",
    "loop.updated", "loop.call.after", "history.write", "dead_letters.write", "predictions.write",
    "journal.segment.before", "journal.segment.after",
    "writer.outputs.before", "history.sync", "dead_letters.sync", "predictions.sync",
    "checkpoint.before", "checkpoint.write", "checkpoint.manifest.before", "checkpoint.fence.before",
    "checkpoint.rename.before", "checkpoint.rename.after", "checkpoint.after",
    "writer.prune.before", "checkpoint.prune.between", "tensorboard.write", "tensorboard.sync",
]  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A model and how it is trained."""

    model: str
    batch: int
    xla: bool
    task: str = "binary"
    label: str = "y"
    train: str = ""  # further settings
    certainty: str = ""

    def prepare(self, folder: Path) -> Path:
        """Write stream and settings into a new folder, where the state will be, too."""
        folder.mkdir()
        write_stream(folder, kinds=self.task == "classes")
        text = _SETTINGS.format(**{**vars(self), "xla": str(self.xla).lower()})
        (folder / "learnd.yaml").write_text(text)
        return folder


SCENARIOS = {
    "one sample an update": Scenario("plain", 1, xla=True, certainty=", decide: f1"),
    "dropout, batch normalization, a frozen layer, a partial batch": Scenario("noisy", 3, xla=False),
}

OF_CLASSES = {
    "classes that come as the stream goes, balanced": Scenario(
        "plain", 2, xla=True, task="classes", label="{field: kind, classes: {max: 9}}", train=", class_weight: balanced"
    ),
    "averages, hedged, and a memory": Scenario(
        "plain",
        2,
        xla=True,
        task="classes",
        label="{field: kind, classes: {max: 9}}",
        train=", average: {hedge: true}, memory: {size: 60, per_update: 3}",
    ),
    "a mixture of networks that see the last labels": Scenario(
        "mixture", 1, xla=True, task="classes", label="{field: kind, classes: {max: 9}}"
    ),
}


def write_stream(folder: Path, *, kinds: bool = False) -> None:
    """Write records whose ids count up. Every 50th is broken in one of three ways.

    With `kinds`, each is of a kind, and a new kind comes now and then.
    """
    rng = random.Random(11)
    lines = []
    for number in range(RECORDS):
        a, b = rng.gauss(0, 1), rng.gauss(5, 3)
        record: dict[str, Any] = {"id": number, "a": a, "b": b, "c": rng.randrange(80), "y": int(a * b > 0)}
        if kinds:
            record["kind"] = f"kind {number % (1 + number // 700)}"
        if number % 50 == 7:
            record["a"] = rng.choice([None, "text", 1e300])
        lines.append(json.dumps(record))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")


def passing(rng: random.Random, failpoint: str) -> int:
    """Return at which passing of a failpoint to die. That one surely comes between two checkpoints, or before."""
    rare = ("history", "tensorboard", "writer", "checkpoint", "journal.segment")
    return 1 if failpoint.startswith(rare) or failpoint.endswith(".sync") else rng.randint(1, 9)


def seen(state: Path) -> Any:
    """Return how often each id has trained, from the variables in the newest checkpoint."""
    newest = max((state / "checkpoints").glob("[0-9]*"))
    arrays = load_file(newest / "arrays.safetensors")
    (name,) = [name for name in arrays if re.fullmatch(r"learner/model/.*/seen", name)]
    return arrays[name]


def predictions(state: Path) -> str | None:
    """Return what was predicted, as it was written beside a state directory; None if nothing was."""
    path = state.parent / "predictions.jsonl"
    return path.read_text() if path.exists() else None


def shown(state: Path) -> list[tuple[int, str, Any]]:
    """Return what TensorBoard shows of a run, from the folder beside a state directory."""
    return told_in(state.parent / "logs" / "events.out.tfevents.learnd")


def assert_same(state: Path, expected: Path, kinds: Sequence[str] = ("score",)) -> None:
    """Assert that two state directories hold the same model, dead letters, and events of these kinds.

    The predictions beside them and what TensorBoard shows, if there are any, must be the same, too.
    """
    assert summary(state) == summary(expected)
    for kind in kinds:
        assert history(state, kind) == history(expected, kind), kind
    assert dead_letters(state) == dead_letters(expected)
    assert predictions(state) == predictions(expected)
    assert shown(state) == shown(expected)
    np.testing.assert_array_equal(seen(state), seen(expected))
