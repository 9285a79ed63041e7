"""A run that a rule ends, killed before, at and behind its end: the best model comes out, the same to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

from processes import Zygote, history, killed, refused, succeeded, summary
from streams import json_lines, prepare, prepare_to_overfit, records

FIT = ("fit", "learnd.yaml", "--epochs", "30", "--patience", "2", "--json")


def prepared(folder: Path) -> Path:
    return prepare_to_overfit(folder, save_every=200)


def test_killed_anywhere_it_ends_with_the_same_best_model(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    expected = succeeded(zygote.run(whole, *FIT)).json()
    (stopped,) = history(whole / "state", "stopped")
    assert expected["stopped_early"] == f"score.plateau at {stopped['samples']:,} samples"
    assert expected["samples_trained"] + stopped["samples_taken_back"] == stopped["samples"]
    assert expected["holdout_scores"]["log_loss"] == stopped["best"] < stopped["score"]

    for failpoints in ("loop.updated=kill@3", "checkpoint.rename.before=kill@2", "loop.call.after=kill@6"):
        killed(zygote.run(folder, *FIT, failpoints=failpoints))
    rare = (*FIT, "--set", "checkpoint.every.samples=100000")  # the first checkpoint from here on is the last of all
    for failpoints in ("checkpoint.rename.before=kill@1", "checkpoint.rename.after=kill@1"):
        killed(zygote.run(folder, *rare, failpoints=failpoints))
    found = succeeded(zygote.run(folder, *FIT)).json()
    assert found["digest"] == expected["digest"]
    assert summary(folder / "state") == summary(whole / "state")
    for kind in ("score", "score.best", "stopped", "reaction"):
        assert history(folder / "state", kind) == history(whole / "state", kind), kind


def test_what_has_ended_stays_so_until_it_is_to_go_on(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    first = succeeded(zygote.run(folder, *FIT)).json()
    again = succeeded(zygote.run(folder, *FIT[:-1]))
    assert "by a rule: score.plateau at" in again.stdout
    assert "ended        by a rule" in succeeded(zygote.run(folder, "status", "state")).stdout
    assert summary(folder / "state")["digest"] == first["digest"]

    succeeded(zygote.run(folder, "checkpoints", "export", "state", "best.keras", "--best"))
    succeeded(zygote.run(folder, "checkpoints", "export", "state", "last.keras"))
    succeeded(zygote.run(folder, "ctl", "state", "resume"))
    more = succeeded(zygote.run(folder, *FIT)).json()
    assert more["updates"] > first["updates"]
    (folder / "later.jsonl").write_bytes(json_lines(records(100, seed=2)))
    later = ("--set", 'source={files: {path: "later.jsonl"}}', "--json")
    on = succeeded(zygote.run(folder, "run", "learnd.yaml", *later)).json()
    assert on["stopped_early"] is None
    assert on["samples_trained"] + on["samples_held_out"] == more["samples_trained"] + more["samples_held_out"] + 100


def test_without_return_each_score_is_told_once(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    rule = {"on": "score.plateau", "of": "holdout", "after": 2, "do": [{"stop": {"restore_best": False}}]}
    given = ("--set", f"reactions={json.dumps([rule])}", "--set", "validate.prequential.every=200")
    assert succeeded(zygote.run(folder, *FIT[:4], *given, "--json")).json()["stopped_early"]
    scores = [score["samples"] for score in history(folder / "state", "score") if score["set"] == "holdout"]
    assert len(scores) == len({*scores})
    told = refused(zygote.run(folder, "checkpoints", "export", "state", "best.keras", "--best"), 74)
    assert "has no copy of the model that scored best" in told


def test_patience_needs_scores_to_wait_for(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", json_lines(records(50)))
    assert "validate has none; add validate.holdout" in refused(zygote.run(folder, *FIT), 78)
    assert not json.loads(succeeded(zygote.run(folder, "fit", "learnd.yaml", "--json")).stdout)["stopped_early"]
