"""`learnd evaluate`: scores on labelled records that do not train."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from processes import Result, Zygote, refused, succeeded
from streams import json_lines, records

import learnd
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.verbs.checkpoints import restored_learner

COUNT = 600


@pytest.fixture(scope="module")
def held_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("held_back") / "held_back.jsonl"
    path.write_bytes(json_lines(records(COUNT, seed=5)))
    return path


def test_the_scores_are_those_of_the_predictions(zygote: Zygote, whole: tuple[Path, Result], held_back: Path) -> None:
    folder, _ = whole
    before = sorted(path.name for path in (folder / "state" / "checkpoints").iterdir())
    found = succeeded(zygote.run(folder, "evaluate", "learnd.yaml", held_back, "--json")).json()
    of = found["targets"]["label"]
    encoded = learnd.encoder(folder / "learnd.yaml")(records(COUNT, seed=5))
    root = folder / "state"
    said = restored_learner(root, checkpoint_of(root, None)).predict({"features": encoded})["label"][:, 0] > 0.5
    truth = np.array([record["y"] for record in records(COUNT, seed=5)]) == 1
    assert (found["records"], of["scored"]) == (COUNT, COUNT)
    assert of["metrics"]["accuracy"] == np.mean(said == truth)
    assert of["baselines"]["majority"]["accuracy"] in (
        np.count_nonzero(truth) / COUNT,
        np.count_nonzero(~truth) / COUNT,
    )
    assert of["confusion"]["1"]["1"] == of["classes"]["1"]["hits"] == np.count_nonzero(said & truth)
    assert sorted(path.name for path in (folder / "state" / "checkpoints").iterdir()) == before
    text = succeeded(zygote.run(folder, "evaluate", "state", held_back)).stdout
    assert f"{of['metrics']['accuracy']:.4f}" in text
    assert "came, predicted as" in text


def test_what_cannot_be_decoded_is_in_no_score(zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = whole
    (tmp_path / "given.jsonl").write_bytes(json_lines(records(20)) + b'{"a": 1}\n')
    result = zygote.run(folder, "evaluate", "state", tmp_path / "given.jsonl", "--json")
    told = refused(result, 65)
    assert "record 21 (" in told
    assert json.loads(result.stdout)["targets"]["label"]["scored"] == 20


def test_no_records_are_nothing_to_score(zygote: Zygote, whole: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = whole
    (tmp_path / "none.jsonl").write_bytes(b"")
    assert "there are no records" in refused(zygote.run(folder, "evaluate", "state", tmp_path / "none.jsonl"), 65)


def test_a_class_that_the_model_has_not_learnt_counts_as_wrong(zygote: Zygote, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [{"a": float(a), "y": "up" if a > 0 else "down"} for a in rng.normal(size=300)]
    (tmp_path / "stream.jsonl").write_bytes(json_lines(lines))
    (tmp_path / "learnd.yaml").write_text(
        "model: {preset: linear, task: classes}\nsource: {files: {path: stream.jsonl}}\ntrain: {xla: false}\n"
        "samples: {features: {a: float}, label: {field: y, classes: {max: 4}}}\nhttp: {listen: null}\n"
    )
    succeeded(zygote.run(tmp_path, "run", "learnd.yaml"))
    (tmp_path / "new.jsonl").write_bytes(json_lines([*lines[:40], {"a": 0.5, "y": "sideways"}]))
    found = succeeded(zygote.run(tmp_path, "evaluate", "learnd.yaml", "new.jsonl", "--json")).json()["targets"]["label"]
    assert found["scored"] == 41
    assert found["classes"]["sideways"] == {"came": 1, "predicted": 0, "hits": 0, "recall": 0.0, "f1": 0.0}
    assert set(found["classes"]) == {"up", "down", "sideways"}
