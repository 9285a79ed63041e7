"""`learnd bench`: a recording's report card."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import pytest
from processes import Zygote, refused, succeeded
from streams import json_lines, prepare, records

QUICK = ("--set", "train.xla=false", "--set", "train.max_updates_per_call=2")
PRESETS = ["preset: linear", "preset: mlp", "preset: auto"]


def test_a_recording_alone_is_enough(zygote: Zygote, tmp_path: Path) -> None:
    values = [
        {**record, "order": f"no. {number}", "y": "yes" if record["y"] else "no"}
        for number, record in enumerate(records(300))
    ]
    (tmp_path / "own.jsonl").write_bytes(b"{}\n" + json_lines(values))
    told = succeeded(zygote.run(tmp_path, "bench", "own.jsonl", "--limit", "250", "--json", "card.json", *QUICK[:2]))
    assert "own.jsonl: the first 250 samples, 1 rejected; --limit takes more. Label: y. Task: binary." in told.stdout
    assert "\n3 features: a, b, c.\n  order is left out: " in told.stdout
    assert told.stderr == ""
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["features"] == ["a", "b", "c"]
    assert any(note.startswith("order is left out: ") for note in card["notes"])
    assert (card["task"], card["metric"], card["samples"], card["whole"]) == ("binary", "accuracy", 250, False)
    entries = {entry["name"]: entry for entry in card["contestants"]}
    assert {"majority", "no_change", "River ARFClassifier", *PRESETS} <= set(entries)
    scores = [entry["scores"]["accuracy"] for entry in card["contestants"]]
    assert scores == sorted(scores, reverse=True)
    assert [entry["verdict"] for entry in card["contestants"]].index("best") == 0
    assert {name for name, entry in entries.items() if {"log_loss", "auc"} <= set(entry["scores"])} == {*entries} - {
        "majority",
        "no_change",
    }
    for name, entry in entries.items():
        assert f"\n{name} " in told.stdout
        assert entry["unscored"] == 0
        assert (entry["samples_per_second"] is None) == (entry["maker"] == "baseline")
        assert (entry["start_seconds"] is None) == (entry["maker"] != "learnd")
    assert min(entries[name]["times_cheapest"] for name in PRESETS) == 1
    assert told.stdout.endswith(f"\n{card['advice']}\n")
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"own.jsonl", "card.json"}


def test_the_settings_own_model_is_measured_as_a_run_measures_it(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(
        tmp_path / "own",
        json_lines(records(220)),
        predictions={"file": "predictions.jsonl"},
        validate={"holdout": {"share": 0.1}},
        train={"batch_size": 4},
    )
    card = succeeded(
        zygote.run(folder, "bench", "stream.jsonl", "--settings", "learnd.yaml", "--limit", "201", "--json", "-")
    ).json()
    assert not (folder / "state").exists()
    assert not (folder / "predictions.jsonl").exists()
    entries = {entry["name"]: entry for entry in card["contestants"]}
    assert {"your settings", *PRESETS} <= set(entries)
    assert [entries[name]["left_out"] for name in ("your settings", "preset: mlp")] == [["validate.holdout"], []]
    otherwise = [entries[f"preset: {name}"]["served_otherwise"] for name in ("mlp", "auto")]
    assert otherwise == [None, "without the last labels"]

    succeeded(zygote.run(folder, "run", "learnd.yaml", "--set", "validate.holdout=null"))
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    labels = [record["y"] for record in records(220)]
    right = [(row["prediction"] > 0.5) == bool(label) for row, label in zip(rows, labels, strict=True)]
    scores = entries["your settings"]["scores"]
    assert scores["accuracy"] == sum(right[1:201]) / 200
    given = [row["prediction"] if label else 1 - row["prediction"] for row, label in zip(rows, labels, strict=True)]
    assert scores["log_loss"] == pytest.approx(-sum(map(math.log, given[1:201])) / 200, rel=1e-5)
    assert scores["brier"] == pytest.approx(sum((1 - p) ** 2 for p in given[1:201]) / 200, rel=1e-5)


def test_a_model_that_is_a_preset_is_compared_once_and_by_brier_if_a_class_is_rare(
    zygote: Zygote, tmp_path: Path
) -> None:
    values = [{**record, "y": int(number % 30 == 7)} for number, record in enumerate(records(60))]
    (tmp_path / "own.jsonl").write_bytes(json_lines(values))
    succeeded(zygote.run(tmp_path, "init", "own.jsonl"))
    arguments = ("own.jsonl", "-s", "learnd.yaml", "--json", "card.json")
    told = succeeded(zygote.run(tmp_path, "bench", *arguments, *QUICK[:2])).stdout
    card = json.loads((tmp_path / "card.json").read_text())
    assert {entry["name"] for entry in card["contestants"] if entry["maker"] == "learnd"} == set(PRESETS)
    scores = [entry["scores"]["brier"] for entry in card["contestants"]]
    assert (card["metric"], scores) == ("brier", sorted(scores))
    assert [word in told for word in (" brier ", " log_loss ", " auc ", "the order is by brier")] == [True] * 4
    assert "2 samples of rare labels" in told.splitlines()[-1]


def test_a_recording_of_a_topic_needs_settings(zygote: Zygote, tmp_path: Path) -> None:
    lines = [
        {"partition": f"clicks/{number % 2}", "offset": number // 2, "value": json.dumps(record)}
        for number, record in enumerate(records(120))
    ]
    ends = {"clicks/0": 60, "clicks/1": 60}
    header = {"learnd_recording": 1, "topics": {"clicks": "id"}, "starts": dict.fromkeys(ends, 0), "ends": ends}
    folder = prepare(tmp_path / "own", model={"preset": "linear"})
    (folder / "clicks.jsonl").write_text(
        "".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in (header, *lines))
    )
    message = refused(zygote.run(folder, "bench", "clicks.jsonl"), 78)
    assert "clicks.jsonl: it is of a topic" in message
    assert "--settings" in message
    told = succeeded(zygote.run(folder, "bench", "clicks.jsonl", "-s", "learnd.yaml", "--json", "-")).json()
    assert (told["samples"], told["whole"], told["failed"], told["unfinished"]) == (120, True, {}, [])


def test_a_signal_ends_it_with_what_is_through(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_bytes(json_lines(records(200)))
    for call, one_is_through in ((2, False), (210, True)):  # a preset takes 100 to 200 calls
        daemon = zygote.start(tmp_path, "bench", "own.jsonl", *QUICK, failpoints=f"loop.call.after=stop@{call}")
        daemon.wait_until_stopped()
        daemon.signal(signal.SIGINT)
        daemon.signal(signal.SIGCONT)
        told = succeeded(daemon.wait())
        assert "Traceback" not in told.stderr
        if one_is_through:
            assert "\npreset: linear " in told.stdout
            assert "stopped: not through, and not compared: " in told.stdout
            assert "\npreset: auto " not in told.stdout
        else:
            assert told.stdout == ""
            assert "stopped before the first model was through" in told.stderr


def test_what_cannot_be_compared_is_told_with_a_way_out(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "own")
    (folder / "empty.csv").touch()
    (folder / "other.csv").write_text("p,q\n1,2\n3,4\n")
    (folder / "none").mkdir()
    (folder / "card.json").touch()
    (folder / "wrong.py").write_text("def build(spec):\n    raise ValueError('no such layer')\n")
    settings = ("--settings", "learnd.yaml")
    for arguments, code, words in (
        (("gone.csv",), 74, "gone.csv cannot be read"),
        (("gone.csv", *settings), 74, "gone.csv: there is no such file"),
        (("empty.csv",), 65, "empty.csv: the file is empty"),
        (("none",), 74, "none: no files in it"),
        (("none", *settings), 74, "none: no files in it"),
        (("other.csv", "--label", "y"), 65, "no record has a field 'y'"),
        (("other.csv", *settings, "--set", "samples.format=csv"), 78, "other.csv has no column 'a'"),
        (("stream.jsonl", "--json", "stream.jsonl", "--force"), 74, "stream.jsonl is what this command reads"),
        (("*.jsonl", *settings, "--json", "stream.jsonl", "--force"), 74, "stream.jsonl is what this command reads"),
        (("stream.jsonl", *settings, "--json", "learnd.yaml", "--force"), 74, "learnd.yaml is what this command reads"),
        (("stream.jsonl", "--json", "card.json"), 74, "card.json exists. Nothing was written. Give another --json, or"),
        (("stream.jsonl", *settings, "--set", "model={build: wrong.py:build}"), 78, "no such layer"),
        (("stream.jsonl", "--settings", "gone.yaml"), 78, "gone.yaml: there is no such file"),
    ):
        assert words in refused(zygote.run(folder, "bench", *arguments), code)
    for arguments, words in (
        (("other.csv", "--task", "guess"), "'guess' is none of"),
        (("stream.jsonl", *settings, "--label", "y"), "the settings say that already"),
    ):
        told = zygote.run(folder, "bench", *arguments)
        assert (told.code, words in told.stderr) == (2, True)
