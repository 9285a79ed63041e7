"""Bad records among good ones: the good ones train, the bad ones are dead letters, and too many are an error."""

import codecs
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import Zygote, dead_letters, killed, refused, succeeded, summary
from safetensors.numpy import load_file
from streams import json_lines, prepare, records


def corpus() -> ModuleType:
    path = Path(__file__).parents[1] / "corpus/test_bad_records.py"
    spec = importlib.util.spec_from_file_location("bad_records", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["bad_records"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_all_finite(state: Path) -> None:
    arrays = load_file(max((state / "checkpoints").glob("[0-9]*")) / "arrays.safetensors")
    broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    assert not broken


def test_a_stream_that_has_gone_bad_stops_the_daemon_and_the_next_start_goes_on_behind(
    zygote: Zygote, tmp_path: Path
) -> None:
    stream: list[dict[str, Any]] = records(1200)
    for number in range(500, 1000, 2):
        stream[number]["b"] = "n/a"
    limits = {"max_rate": 0.2, "window": 200}
    folder = prepare(tmp_path / "run", json_lines(stream), dead_letters=limits)
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 65)
    folder_of_bad = prepare(tmp_path / "bad", json_lines(stream[500:]), dead_letters=limits)
    assert "wrong_type" in refused(zygote.run(folder_of_bad, "validate", "learnd.yaml"), 65)
    for part in ("of the last", "over the limit of 20%", "wrong_type", "b", "dead letters", "start again"):
        assert part in message
    state = succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).json()
    assert state["samples_trained"] > 400
    assert summary(folder / "state")["samples_trained"] == state["samples_trained"]

    result = zygote.run(folder, "run", "learnd.yaml", "--json")
    for _ in range(10):
        if result.code == 0:
            break
        refused(result, 65)
        result = zygote.run(folder, "run", "learnd.yaml", "--json")
    whole = prepare(tmp_path / "whole", json_lines(stream), dead_letters={"max_rate": 1.0})
    succeeded(zygote.run(whole, "run", "learnd.yaml"))
    assert summary(folder / "state") == summary(whole / "state")
    assert dead_letters(folder / "state") == dead_letters(whole / "state")


def test_one_bad_record_at_the_end_of_a_stream_that_trained_stops_nothing(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", json_lines(records(200)))
    succeeded(zygote.run(folder, "run", "learnd.yaml"))
    with (folder / "stream.jsonl").open("ab") as stream:
        stream.write(b"{}\n")
    result = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()
    assert (result["samples_trained"], result["samples_rejected"]) == (200, {"missing": 1})


@pytest.mark.parametrize("form", ["json", "csv"])
def test_every_kind_of_bad_record_among_good_ones(zygote: Zygote, tmp_path: Path, form: str) -> None:
    samples, header, good, cases = corpus().FORMATS[form]
    # A line feed would make two records, an empty line is none, a quote that stays open takes in the next line, and a
    # file may have a byte order mark before any record.
    in_a_line = (bad for _, bad, _ in cases if bad and b"\n" not in bad and not bad.startswith(codecs.BOM_UTF8))
    bad = [bad for bad in in_a_line if form == "json" or bad.count(b'"') % 2 == 0]
    lines = [good]
    for record in bad:
        lines += [record, good, good]
    text = b"\n".join(lines) + b"\n"
    if header is not None:
        text = ",".join(header).encode() + b"\n" + text
    folder = prepare(
        tmp_path / "run",
        text,
        samples=samples,
        dead_letters={"max_rate": 1.0},
        checkpoint={"every": {"samples": 40}},
    )
    killed(zygote.run(folder, "run", "learnd.yaml", failpoints="dead_letters.write=kill@2"))
    given = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()
    assert given["samples_trained"] == 1 + 2 * len(bad)
    letters = dead_letters(folder / "state")
    assert sum(given["samples_rejected"].values()) == len(letters) >= len(bad)
    assert len({(letter["partition"], letter["start"]) for letter in letters}) == len(letters)
    assert_all_finite(folder / "state")


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_extreme_values_never_give_a_weight_that_is_not_finite(zygote: Zygote, tmp_path: Path, task: str) -> None:
    stream: list[dict[str, Any]] = records(600)
    for number, value in ((50, 3e38), (51, -3e38), (200, 3.4e38), (201, 1e20), (202, -1e30), (400, 1e-45)):
        stream[number]["a"] = value
    if task == "regression":
        for record in stream:
            record["y"] = record["b"]
        stream[100]["y"], stream[300]["y"] = 3e38, -1e30
    folder = prepare(tmp_path / "run", json_lines(stream), model={"task": task})
    given = succeeded(zygote.run(folder, "run", "learnd.yaml", "--json")).json()
    assert given["samples_rejected"] == {}
    assert given["updates"] + given["updates_skipped"] == 600
    assert given["updates_skipped"] < 10
    assert_all_finite(folder / "state")
    assert all(value is not None for value in given["scores"].values())


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
def test_after_a_mistaken_name_is_mended_every_record_trains(zygote: Zygote, tmp_path: Path, form: str) -> None:
    stream = records(700)
    name = {"json": "stream.jsonl", "csv": "stream.csv", "parquet": "stream.parquet"}[form]
    samples = {"format": form, "features": {"a": "float", "b": "float", "c": {"hash": 50}}, "label": "y"}
    folder = prepare(
        tmp_path / "run", json_lines(stream), source={"files": {"path": name}}, samples={**samples, "label": "yy"}
    )
    if form == "csv":
        lines = ["a,b,c,y", *(f"{r['a']},{r['b']},{r['c']},{r['y']}" for r in stream)]
        (folder / name).write_text("\n".join(lines) + "\n")
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(stream), folder / name)
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 78)
    assert "samples.label: " in message
    assert "'yy': did you mean 'y'? There are a, b, c, y" in message
    assert (folder / "state" / "checkpoints").exists() == (form == "json")  # what a record holds is seen on the way
    given = succeeded(zygote.run(folder, "run", "learnd.yaml", "--set", "samples.label=y", "--json")).json()
    assert (given["samples_trained"], given["samples_rejected"]) == (700, {})


def test_a_validation_looks_at_the_source(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", source={"files": {"path": "data.csv"}})
    (folder / "learnd.yaml").write_text((folder / "learnd.yaml").read_text().replace("label:", "format: csv\n  label:"))
    for verb in ("validate", "run"):
        assert "data.csv: no such file" in refused(zygote.run(folder, verb, "learnd.yaml"), 74)
    away = succeeded(zygote.run(folder, "validate", "learnd.yaml", "--set", "source.files.follow=true"))
    assert "learnd: warning: " in away.stderr
    assert "data.csv: no such file; a run waits for it" in away.stderr
    (folder / "data.csv").write_text("a,b,cc,y\n1,2,3,1\n")
    message = refused(zygote.run(folder, "validate", "learnd.yaml"), 78)
    assert "samples.features.c: data.csv has no column 'c': did you mean 'cc'?" in message
    assert message.startswith("learnd.yaml:")


@pytest.mark.parametrize("reactions", [[], None], ids=["without rules", "with the default rules"])
def test_a_model_that_hardly_learns_is_an_error_and_never_good(
    reactions: list[Any] | None, zygote: Zygote, tmp_path: Path
) -> None:
    stream = [
        {"rooms": 1 + number % 6, "km": number * 7 % 30, "price": 180_000 + 95_000 * (1 + number % 6)}
        for number in range(3_000)
    ]
    folder = prepare(
        tmp_path / "run",
        json_lines(stream),
        model={"preset": "linear", "task": "regression", "standardize": False},
        samples={"features": {"rooms": "float", "km": "float"}, "label": "price"},
        train={"optimizer": {"sgd": {"learning_rate": 0.01}}},
        **({} if reactions is None else {"reactions": reactions}),
    )
    message = refused(zygote.run(folder, "run", "learnd.yaml"), 65)
    for part in ("updates", "were skipped", "not finite", "hardly learns", "learning rate", "--state"):
        assert part in message
    listed = succeeded(zygote.run(folder, "checkpoints", "ls", "state", "--json")).json()
    assert not any(checkpoint["good"] for checkpoint in listed if checkpoint["samples_trained"] > 500)
