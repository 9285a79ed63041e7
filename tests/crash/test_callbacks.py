"""Callbacks of Keras that change rate and weights, and end the run: however it is killed, the same comes out."""

from __future__ import annotations

from pathlib import Path

from processes import Zygote, history, killed, refused, succeeded, summary
from streams import prepare_to_overfit

FIT = ("fit", "learnd.yaml", "--epochs", "20", "--json")


def prepared(folder: Path) -> Path:
    return prepare_to_overfit(folder, save_every=450, callbacks="own_callbacks:fitting")


def test_killed_in_any_epoch_they_go_on_from_what_they_knew(zygote: Zygote, tmp_path: Path) -> None:
    whole, folder = prepared(tmp_path / "whole"), prepared(tmp_path / "killed")
    expected = succeeded(zygote.run(whole, *FIT)).json()
    epochs = history(whole / "state", "epoch")
    assert expected["stopped_early"] == f"callbacks at {epochs[-1]['samples']:,} samples"
    assert len({epoch["learning_rate"] for epoch in epochs}) > 2
    for failpoints in ("loop.updated=kill@6", "checkpoint.rename.before=kill@2", "loop.call.after=kill@9"):
        killed(zygote.run(folder, *FIT, failpoints=failpoints))
    found = succeeded(zygote.run(folder, *FIT)).json()
    assert found["digest"] == expected["digest"]
    assert summary(folder / "state") == summary(whole / "state")
    for kind in ("score", "epoch", "stopped"):
        assert history(folder / "state", kind) == history(whole / "state", kind), kind

    on = succeeded(zygote.run(folder, *FIT, "--set", "callbacks=own_callbacks:scheduled")).json()
    assert on["updates"] > found["updates"]
    assert on["stopped_early"] is None


def test_what_cannot_be_called_is_told_in_one_line(zygote: Zygote, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "run")
    for verb in (FIT, ("validate", "learnd.yaml")):
        told = refused(zygote.run(folder, *verb, "--set", "callbacks=own_callbacks:each_batch"), 78)
        assert "EachBatch acts on on_train_batch_end" in told
    rule = 'reactions=[{"on": "drift.confirmed", "do": [{"trial": {"of": "reset_moments"}}]}]'
    assert "they know one model" in refused(zygote.run(folder, *FIT, "--set", rule), 78)
