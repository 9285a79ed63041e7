"""A model that learns which classes there are: the same scores as one that knows them, and names wherever they show."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from processes import Result, Zygote, dead_letters, succeeded, summary
from streams import json_lines, prepare, records

import learnd

KINDS = ["maple", "birch", "alder", "cedar"]
FEATURES = {"a": "float", "b": "float", "c": {"hash": 50}}


def stream() -> list[dict[str, Any]]:
    """Return records of kinds that come one after the other; the last kind comes near the end."""
    made = records()
    for number, record in enumerate(made):
        record["kind"] = KINDS[2 * record["y"] + (number > 700 and record["c"] % 2)] if number else KINDS[0]
    return made


def with_one_too_many() -> list[dict[str, Any]]:
    made = stream()
    made[1400]["kind"] = "one too many"
    return made


def run(zygote: Zygote, folder: Path, classes: Any, made: list[dict[str, Any]]) -> tuple[Path, Result]:
    samples = {"features": FEATURES, "label": {"field": "kind", "classes": classes}}
    more: dict[str, Any] = {"model": {"task": "classes"}, "predictions": {"file": "predictions.jsonl"}}
    prepare(folder, json_lines(made), samples=samples, **more)
    return folder, succeeded(zygote.run(folder, "run", "learnd.yaml", "--json"))


@pytest.fixture(scope="module")
def learnt(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    return run(zygote, tmp_path_factory.mktemp("learnt") / "run", {"max": 4}, with_one_too_many())


def names(folder: Path, zygote: Zygote) -> list[str]:
    shown: dict[str, Any] = succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()
    found: list[str] = shown["classes"]
    return found


def test_the_names_are_those_that_came_and_one_more_is_a_dead_letter(
    learnt: tuple[Path, Result], zygote: Zygote
) -> None:
    folder, result = learnt
    assert names(folder, zygote) == list(dict.fromkeys(record["kind"] for record in stream()))[:4]
    (letter,) = dead_letters(folder / "state")
    assert letter["reason"] == "unknown_label"
    assert "'one too many' would be a new class" in letter["detail"]
    assert [json.loads(line)["name"] for line in result.stderr.splitlines() if "class.new" in line] == names(
        folder, zygote
    )
    told = succeeded(zygote.run(folder, "checkpoints", "show", "state")).stdout
    assert f"classes      {', '.join(names(folder, zygote))}" in told


def test_room_to_spare_does_not_show_in_the_scores(learnt: tuple[Path, Result], zygote: Zygote, tmp_path: Path) -> None:
    folder, _ = learnt
    known = summary(run(zygote, tmp_path / "known", names(folder, zygote), stream())[0] / "state")
    roomy = summary(run(zygote, tmp_path / "spare", {"max": 40}, stream())[0] / "state")
    assert roomy["samples_trained"] == known["samples_trained"] == len(stream())
    for name in ("accuracy", "log_loss", "macro_f1", "kappa"):
        assert roomy["scores"][name] == pytest.approx(known["scores"][name], abs=0.15)
    assert roomy["baselines"]["priors"]["log_loss"] == pytest.approx(known["baselines"]["priors"]["log_loss"], abs=0.02)


def test_predictions_come_by_name(learnt: tuple[Path, Result], zygote: Zygote) -> None:
    folder, _ = learnt
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert lines[0]["prediction"] == {}
    assert list(lines[-1]["prediction"]) == names(folder, zygote)
    rows = succeeded(zygote.run(folder, "predict", "state", "stream.jsonl")).stdout.splitlines()
    last = json.loads(rows[-1])["prediction"]
    assert list(last) == names(folder, zygote)
    assert sum(last.values()) == pytest.approx(1, abs=1e-5)
    table = succeeded(zygote.run(folder, "predict", "state", "stream.jsonl", "--format", "csv")).stdout
    header = next(csv.reader(io.StringIO(table)))
    assert header == ["record", *(f"prediction.{name}" for name in names(folder, zygote))]


def test_an_earlier_checkpoint_knows_fewer_names(learnt: tuple[Path, Result], zygote: Zygote) -> None:
    folder, _ = learnt
    listed = json.loads(succeeded(zygote.run(folder, "checkpoints", "ls", "state", "--json")).stdout)
    earlier = next(row["sequence"] for row in reversed(listed) if 0 < row["samples_trained"] <= 700)
    rows = succeeded(zygote.run(folder, "predict", "state", "stream.jsonl", "--sequence", str(earlier))).stdout
    assert list(json.loads(rows.splitlines()[0])["prediction"]) == names(folder, zygote)[:2]


def test_an_export_and_the_encoder_know_the_names(learnt: tuple[Path, Result], zygote: Zygote, tmp_path: Path) -> None:
    folder, _ = learnt
    succeeded(zygote.run(folder, "checkpoints", "export", "state", tmp_path / "model.keras"))
    assert json.loads((tmp_path / "model.classes.json").read_text()) == names(folder, zygote)
    for place in ("state", "learnd.yaml"):
        assert list(learnd.encoder(folder / place).classes) == names(folder, zygote)


def test_an_export_that_fails_leaves_no_names(learnt: tuple[Path, Result], zygote: Zygote, tmp_path: Path) -> None:
    folder, _ = learnt
    (tmp_path / "model.keras").mkdir()
    result = zygote.run(folder, "checkpoints", "export", "state", tmp_path / "model.keras")
    assert result.code != 0
    assert not (tmp_path / "model.classes.json").exists()
