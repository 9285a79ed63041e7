"""Messages whose key is the label, in classes that are learnt, from three partitions by turns, with weights."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from processes import Zygote, dead_letters, killed, succeeded, summary
from streams import prepare

from learnd.connectors.kafka.clients.contract import Fetched
from learnd.connectors.recordings.file_format import RecordingHeader, open_writer

COUNT, PARTITIONS = 400, ["t/0", "t/1", "t/2"]
SAMPLES = {
    "features": {"a": "float", "b": {"values": ["x", "y", "z"]}},
    "label": {"from": "key", "classes": {"max": 7}},
    "weight": {"expression": 'where(b == "x", 2, 1) * (0.5 + a ** 2)'},
}


def recording(path: Path) -> None:
    """Write messages whose keys are new kinds now and then, in another order in each partition; the 50th has none."""
    rng = random.Random(2)
    starts, ends = dict.fromkeys(PARTITIONS, 0), dict.fromkeys(PARTITIONS, COUNT)
    file = open_writer(path, ".jsonl", RecordingHeader(topics={"t": "1"}, starts=starts, ends=ends))
    for first in range(0, COUNT, 40):
        offsets = np.arange(first, first + 40)
        for number, name in enumerate(PARTITIONS):
            kinds = [(offset // 90 + number) % 6 if rng.random() < 0.3 else number for offset in offsets.tolist()]
            values: list[bytes | None] = [
                json.dumps({"a": rng.gauss(kind, 1), "b": rng.choice("xyz")}).encode() for kind in kinds
            ]
            keys = [b"kind %d" % kind if offset % 50 else None for kind, offset in zip(kinds, offsets, strict=True)]
            file.write(Fetched(name, offsets, values, keys, None, offsets))
    file.close()


def prepared(folder: Path) -> Path:
    prepare(
        folder,
        samples=SAMPLES,
        source={"recording": {"path": "topic.jsonl"}},
        model={"task": "classes"},
        train={"class_weight": "balanced"},
        checkpoint={"every": {"samples": 150, "seconds": 1000}},
        predictions={"file": "predictions.jsonl"},
    )
    recording(folder / "topic.jsonl")
    return folder


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepared(tmp_path_factory.mktemp("whole") / "run")
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    return folder


def classes(folder: Path, zygote: Zygote) -> list[str]:
    shown = succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()
    found: list[str] = shown["classes"]
    return found


def test_each_message_with_a_key_trains(whole: Path, zygote: Zygote) -> None:
    told = summary(whole / "state")
    without = len(PARTITIONS) * COUNT // 50
    assert told["samples_rejected"] == {"missing": without}
    assert told["samples_trained"] == len(PARTITIONS) * COUNT - without
    assert {letter["detail"] for letter in dead_letters(whole / "state")} == {
        "the record's key: missing, but the label is read from it"
    }
    assert sorted(classes(whole, zygote)) == [f"kind {number}" for number in range(6)]
    assert told["scores"]["accuracy"] > told["baselines"]["majority"]["accuracy"]


def test_killed_between_classes_it_comes_out_the_same(whole: Path, zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    for failpoint in ("loop.updated=kill@7", "journal.append.after=kill@12", "checkpoint.rename.after=kill@1",
                      "loop.call.after=kill@9"):  # fmt: skip
        killed(zygote.run(folder, "run", "learnd.yaml", failpoints=failpoint))
    succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))
    assert summary(folder / "state") == summary(whole / "state")
    assert classes(folder, zygote) == classes(whole, zygote)
    assert (folder / "predictions.jsonl").read_text() == (whole / "predictions.jsonl").read_text()
