"""Killed anywhere, any number of times, the model comes out the same to the last bit."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash_models import MOST_IDS
from harness import KILLED, Zygote, dead_letters, history, kill_after, summary
from safetensors.numpy import load_file

RECORDS = 4000

SETTINGS = """
model: {{build: "crash_models:{model}"}}
source: {{files: {{path: stream.jsonl}}}}
samples:
  features: {{id: float, a: float, b: float, c: {{hash: 50}}}}
  label: y
train: {{batch_size: {batch}, max_updates_per_call: 16}}
validate:
  prequential: {{windows: [200], every: 500}}
  holdout: {{share: 0.05, size: 50, every: 700}}
checkpoint: {{dir: state, every: {{samples: 250, seconds: 1000}}, keep: 3}}
http: {{listen: null}}
"""

# Before and after every step of the commit, of the journal's append and of the writer's work, and between them.
FAILPOINTS = [
    "journal.append.before", "journal.append.after",
    "loop.updated", "loop.call.after", "history.write", "dead_letters.write",
    "journal.segment.before", "journal.segment.after",
    "writer.outputs.before", "history.sync", "dead_letters.sync",
    "checkpoint.before", "checkpoint.write", "checkpoint.manifest.before", "checkpoint.fence.before",
    "checkpoint.rename.before", "checkpoint.rename.after", "checkpoint.after",
    "writer.prune.before", "checkpoint.prune.between",
]  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A model and a batch size; `failpoints` are where the daemon dies, one after the other."""

    model: str
    batch: int
    failpoints: list[str]


SCENARIOS = {
    "one sample an update": Scenario("plain", 1, FAILPOINTS[0::2]),
    "dropout, batch normalization, a frozen layer, a partial batch": Scenario("noisy", 3, FAILPOINTS[1::2]),
}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


def write_stream(folder: Path) -> None:
    """Records whose ids count up; every fiftieth is broken in one of three ways."""
    rng = random.Random(11)
    lines = []
    for number in range(RECORDS):
        a, b = rng.gauss(0, 1), rng.gauss(5, 3)
        record: dict[str, Any] = {"id": number, "a": a, "b": b, "c": rng.randrange(80), "y": int(a * b > 0)}
        if number % 50 == 7:
            record["a"] = rng.choice([None, "text", 1e300])
        lines.append(json.dumps(record))
    (folder / "stream.jsonl").write_text("\n".join(lines) + "\n")


def prepare(folder: Path, scenario: Scenario) -> Path:
    folder.mkdir()
    write_stream(folder)
    (folder / "learnd.yaml").write_text(SETTINGS.format(model=scenario.model, batch=scenario.batch))
    return folder


def seen(state: Path) -> Any:
    """Return how often each id has trained, by the newest checkpoint's own variables."""
    newest = max((state / "checkpoints").iterdir())
    arrays = load_file(newest / "arrays.safetensors")
    (name,) = [name for name in arrays if name.endswith("/seen")]
    return arrays[name]


@pytest.fixture(scope="module", params=SCENARIOS)
def whole(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scenario, Path]:
    """A scenario, and the folder of its uninterrupted run."""
    scenario = SCENARIOS[request.param]
    folder = prepare(tmp_path_factory.mktemp("whole") / "run", scenario)
    assert zygote.run(folder, ["run", "learnd.yaml", "--json"]) == 0, (folder / "output.txt").read_text()
    return scenario, folder / "state"


def assert_same(state: Path, expected: Path) -> None:
    mine, whole = summary(state), summary(expected)
    for result in (mine, whole):
        del result["seconds"], result["samples_per_second"]
    assert mine == whole
    assert history(state) == history(expected)
    assert dead_letters(state) == dead_letters(expected)


def test_the_uninterrupted_run_trains_each_record_once(whole: tuple[Scenario, Path]) -> None:
    _, state = whole
    counted = seen(state)
    trained = summary(state)["samples_trained"]
    held_out, rejected = summary(state)["samples_held_out"], summary(state)["samples_rejected"]
    assert counted.max() == 1
    assert int(counted.sum()) == trained
    assert trained + held_out + sum(rejected.values()) == RECORDS
    assert sum(rejected.values()) == RECORDS // 50 == len(dead_letters(state))
    assert len(counted) == MOST_IDS


def test_killed_at_every_failpoint(whole: tuple[Scenario, Path], zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    folder = prepare(tmp_path / "run", scenario)
    rng = random.Random(3)
    for name in scenario.failpoints:
        passing = 1 if name.startswith(("history", "writer", "checkpoint", "journal.segment")) else rng.randint(1, 9)
        code = zygote.run(folder, ["run", "learnd.yaml"], f"{name}=kill@{passing}")
        assert code == KILLED, f"{name}@{passing}: {(folder / 'output.txt').read_text()}"
    assert zygote.run(folder, ["run", "learnd.yaml", "--json"]) == 0, (folder / "output.txt").read_text()
    assert_same(folder / "state", expected)
    np.testing.assert_array_equal(seen(folder / "state"), seen(expected))


def test_killed_at_random_instants(whole: tuple[Scenario, Path], zygote: Zygote, tmp_path: Path) -> None:
    scenario, expected = whole
    folder = prepare(tmp_path / "run", scenario)
    rng = random.Random(5)
    for _ in range(4):
        pid = zygote.start(folder, ["run", "learnd.yaml"])
        kill_after(pid, folder / "state", rng.uniform(0, 0.25))
        zygote.wait()
    assert zygote.run(folder, ["run", "learnd.yaml", "--json"]) == 0, (folder / "output.txt").read_text()
    assert_same(folder / "state", expected)
    np.testing.assert_array_equal(seen(folder / "state"), seen(expected))
