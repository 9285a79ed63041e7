"""A model that is fitted for some epochs, killed in any of them, comes out the same; then a stream goes on from it."""

from __future__ import annotations

import json
from pathlib import Path

from processes import Zygote, history, killed, refused, succeeded, whole_and_killed
from streams import json_lines, prepare, records

COUNT = 500
FIT = ("fit", "learnd.yaml", "--epochs", "3", "--json")


def prepared(folder: Path) -> Path:
    return prepare(
        folder,
        json_lines(records(COUNT)),
        train={"batch_size": 4, "max_updates_per_call": 16},
        checkpoint={"every": {"samples": 200}},
        validate={"holdout": {"share": 0.1, "every": 400}, "prequential": {"windows": [100], "every": 200}},
    )


def test_killed_in_any_epoch_it_comes_out_the_same(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    at = ("loop.updated=kill@5", "checkpoint.rename.before=kill@2", "loop.call.after=kill@9")
    expected, found = whole_and_killed(zygote, whole, folder, *at, command=FIT)
    assert found["digest"] == expected["digest"]
    assert found["scores"] == expected["scores"]
    held = found["samples_held_out"]
    assert held > 0
    assert found["samples_trained"] == 3 * (COUNT - held)
    assert [line["metrics"] for line in history(folder / "state")] == [
        line["metrics"] for line in history(whole / "state")
    ]

    more = succeeded(zygote.run(folder, "fit", "learnd.yaml", "--epochs", "4", "--json")).json()
    assert (more["samples_trained"], more["samples_held_out"]) == (4 * (COUNT - held), held)

    (folder / "later.jsonl").write_bytes(json_lines(records(100, seed=2)))
    later = ("--set", 'source={files: {path: "later.jsonl"}}', "--json")
    killed(zygote.run(folder, "run", "learnd.yaml", *later, failpoints="loop.call.after=kill@1"))
    on = succeeded(zygote.run(folder, "run", "learnd.yaml", *later)).json()
    assert on["samples_trained"] - more["samples_trained"] + on["samples_held_out"] - held == 100
    manifest = json.loads(succeeded(zygote.run(folder, "checkpoints", "show", "state", "--json")).stdout)
    assert set(manifest["positions"]) == {"epochs", "file-0"}


def test_a_topic_cannot_be_fitted_on_without_files(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    topic = ("--set", "source={kafka: {topic: t}}")
    assert "fit takes files; name them with --from" in refused(zygote.run(folder, *FIT, *topic), 78)
    succeeded(zygote.run(folder, *FIT, *topic, "--from", "stream.jsonl"))
