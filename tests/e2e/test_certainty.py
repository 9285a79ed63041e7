"""What is said with predictions: written by the daemon, and by `learnd predict` behind it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, Zygote, refused, succeeded

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
