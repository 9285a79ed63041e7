"""What is said with predictions: written by the daemon, and by `learnd predict` behind it."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from processes import ROOT, Zygote, history, refused, succeeded
from streams import json_lines, prepare, records

import learnd
from learnd.daemon.state.look import checkpoint_of
from learnd.daemon.verbs.checkpoints import restored_learner

KEYS = ["--set", "certainty.coverage=0.8", "--set", "predictions.file=predicted.jsonl", "--set", "http.listen=null"]


@pytest.fixture(scope="module")
def trained(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the example with two labels, a class and a number."""
    folder = tmp_path_factory.mktemp("several") / "run"
    shutil.copytree(ROOT / "examples" / "several", folder)
    made = subprocess.run([sys.executable, "stream.py", "1500"], cwd=folder, capture_output=True, check=True)
    (folder / "fruit.jsonl").write_bytes(made.stdout)
    succeeded(zygote.run(folder, "run", "learnd.yaml", *KEYS))
    return folder


def test_each_label_has_its_own_in_what_the_daemon_writes(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "predicted.jsonl").read_text().splitlines()]
    told = [line for line in lines[200:] if line["set"]["kind"] is not None]
    assert len(told) > 1000
    assert {name for line in told for name in line["set"]["kind"]} == {"apple", "banana", "cherry"}
    assert all("kind" not in line["interval"] and "grams" not in line["set"] for line in told)
    assert all(low <= line["prediction"]["grams"] <= high for line in told for low, high in [line["interval"]["grams"]])


def test_predict_says_it_of_new_records(zygote: Zygote, trained: Path) -> None:
    records = (trained / "fruit.jsonl").read_text().splitlines()[-300:]
    (trained / "new.jsonl").write_text("\n".join(records) + "\n")
    rows = [
        json.loads(line) for line in succeeded(zygote.run(trained, "predict", "state", "new.jsonl")).stdout.splitlines()
    ]
    assert all(low < row["prediction"]["grams"] < high for row in rows for low, high in [row["interval"]["grams"]])
    assert {name for row in rows for name in row["set"]["kind"]} == {"apple", "banana", "cherry"}
    table = succeeded(zygote.run(trained, "predict", "state", "new.jsonl", "--format", "csv")).stdout
    first = next(csv.DictReader(io.StringIO(table)))
    assert json.loads(first["interval"]) == rows[0]["interval"]
    assert json.loads(first["set"]) == rows[0]["set"]


def walk(count: int) -> list[dict[str, float]]:
    """Return records whose label follows from a feature, and partly from the label before."""
    rng, level, made = random.Random(5), 0.0, []
    for _ in range(count):
        level, a = 0.5 * level + rng.gauss(0, 1), rng.gauss(0, 1)
        made.append({"a": a, "y": level + a})
    return made


@pytest.mark.parametrize("lags", [True, False])
def test_predict_says_intervals_of_its_own_predictions_or_none(zygote: Zygote, tmp_path: Path, lags: bool) -> None:
    every = walk(2500)
    folder = prepare(
        tmp_path / "run",
        json_lines(every[:1500]),
        model={"preset": "auto", "task": "regression", "lags": lags},
        samples={"features": {"a": "float"}, "label": "y"},
        certainty={"coverage": 0.9},
        predictions={"file": "predicted.jsonl"},
    )
    settings = yaml.safe_load((folder / "learnd.yaml").read_text())
    del settings["model"]["hidden"]
    (folder / "learnd.yaml").write_text(yaml.safe_dump(settings))
    (folder / "next.jsonl").write_bytes(json_lines(every[1500:]))
    ran = succeeded(zygote.run(folder, "run", "learnd.yaml"))
    assert ("certainty_of_stream_alone" in ran.stderr) == lags
    written = [json.loads(line) for line in (folder / "predicted.jsonl").read_text().splitlines()]
    assert all(line["interval"] is not None for line in written[1:])
    result = succeeded(zygote.run(folder, "predict", "state", "next.jsonl"))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    if lags:
        assert all(set(row) == {"record", "prediction"} for row in rows)
        (told,) = result.stderr.splitlines()
        assert "without the last labels" in told
        assert "set model.lags: false" in told
        return
    assert result.stderr == ""
    pairs = [(row["interval"], record["y"]) for row, record in zip(rows, every[1500:], strict=True)]
    held = sum(low <= label <= high for (low, high), label in pairs) / len(pairs)
    assert 0.8 < held < 0.99


def test_predict_by_averages_is_neither_calibrated_nor_decided_as_in_the_stream(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(
        tmp_path / "run",
        train={"average": {}},
        certainty={"calibrate": "temperature", "decide": "f1"},
    )
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    result = succeeded(zygote.run(folder, "predict", "state", "stream.jsonl"))
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(row) == {"record", "prediction"} for row in rows)
    (told,) = result.stderr.splitlines()
    assert "with averages of its weights" in told
    assert "leave train.average out" in told
    inputs = {"features": learnd.encoder(folder / "learnd.yaml")(records())}
    root = folder / "state"
    own = restored_learner(root, checkpoint_of(root, None)).predict(inputs)["label"][:, 0]
    np.testing.assert_allclose([row["prediction"] for row in rows], own, rtol=1e-4)


def test_predict_by_a_hedge_is_calibrated_and_decided_as_in_the_stream(zygote: Zygote, tmp_path: Path) -> None:
    certainty = {"calibrate": "temperature", "decide": "f1"}
    folder = prepare(tmp_path / "run", train={"average": {"hedge": True}}, certainty=certainty)
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    (*_, mixture) = history(folder / "state", "mixture")
    assert set(mixture["shares"]) == {"weights", "averages"}
    result = succeeded(zygote.run(folder, "predict", "state", "stream.jsonl"))
    assert result.stderr == ""
    assert all("class" in json.loads(line) for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("key", "value", "wrong"),
    [
        (
            "calibrate",
            "temperature",
            "certainty.calibrate: it is for the task binary or classes, but model.task is regression",
        ),
        ("decide", "f1", "certainty.decide: it is for the task binary, but model.task is regression"),
        ("coverage", "1.5", "certainty.coverage: "),
    ],
)
def test_what_nothing_would_come_of_is_refused(
    zygote: Zygote, tmp_path: Path, key: str, value: str, wrong: str
) -> None:
    (tmp_path / "stream.csv").write_text("a,y\n1,2\n")
    (tmp_path / "learnd.yaml").write_text(
        "model: {task: regression}\nsource: {files: {path: stream.csv}}\n"
        f"samples: {{format: csv, features: {{a: float}}, label: y}}\ncertainty: {{{key}: {value}}}\n"
    )
    for verb in ("validate", "run"):
        assert wrong in refused(zygote.run(tmp_path, verb, "learnd.yaml"), 78)
