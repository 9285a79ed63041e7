from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from learnd.daemon.operate.summary import Summary, to_json
from learnd.daemon.tasks.behind import Behind

SUMMARY = Summary(
    digest="ab" * 32,
    samples_trained=1000,
    samples_rejected={"bad_json": 2, "missing": 1},
    samples_held_out=200,
    updates=990,
    updates_skipped=10,
    updates_skipped_by_reason={"loss": 3, "non_finite": 7},
    scores={"accuracy": 0.9, "auc": None},
    baselines={"no_change": {"accuracy": 0.85}, "majority": {"accuracy": 0.6}},
    holdout_scores={"accuracy": 0.88},
    holdout_unscored=None,
    behind_baselines=[],
    stopped_early=None,
    contest={"leads": "model", "challengers": {}, "decided": []},
    seconds=2.0,
    samples=400,
    samples_per_second=500.0,
)


def test_the_keys_are_those_that_scripts_rely_on(tmp_path: Path) -> None:
    path = SUMMARY.write(tmp_path)
    assert path == tmp_path / "summary.json"
    assert json.loads(path.read_text()) == json.loads(SUMMARY.json()) == dataclasses.asdict(SUMMARY)
    assert set(json.loads(SUMMARY.json())) == {
        "digest",
        "samples_trained",
        "samples_rejected",
        "samples_held_out",
        "updates",
        "updates_skipped",
        "updates_skipped_by_reason",
        "scores",
        "baselines",
        "holdout_scores",
        "holdout_unscored",
        "behind_baselines",
        "stopped_early",
        "contest",
        "seconds",
        "samples",
        "samples_per_second",
    }


def test_writing_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    SUMMARY.write(tmp_path)
    dataclasses.replace(SUMMARY, updates=5).write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert json.loads((tmp_path / "summary.json").read_text())["updates"] == 5


def test_people_see_the_scores_beside_the_baselines() -> None:
    text = SUMMARY.text()
    assert "1,000 samples in 990 updates, 10 skipped (loss 3, non_finite 7)" in text
    assert "3 (bad_json 2, missing 1)" in text
    assert "400 samples in 2.0 s, 500 samples/s" in text
    rows = {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}
    assert rows["holdout"] == ["accuracy", "0.8800"]
    few = dataclasses.replace(SUMMARY, samples_held_out=2).text()
    assert "holdout     accuracy 0.8800 (of 2 samples: too few to judge by)" in few.splitlines()
    assert rows["accuracy"] == ["0.9000", "0.8500", "0.6000"]
    assert rows["auc"] == ["-", "-", "-"]


def test_people_are_told_that_a_holdout_has_no_score_and_that_a_baseline_is_ahead() -> None:
    summary = dataclasses.replace(
        SUMMARY,
        holdout_scores={},
        holdout_unscored="no sample was held out",
        behind_baselines=[Behind("log_loss", 0.41, "priors", 0.38)],
    )
    lines = summary.text().splitlines()
    assert "holdout     not scored: no sample was held out" in lines
    assert lines[-1] == "the model is behind what looks at no feature: log_loss 0.4100, priors 0.3800"
    assert json.loads(summary.json())["behind_baselines"] == [
        {"metric": "log_loss", "score": 0.41, "baseline": "priors", "baseline_score": 0.38}
    ]


def test_json_has_no_nan() -> None:
    text = to_json({"a": float("nan"), "b": [float("inf"), np.float32(0.5), np.float64("nan")], "c": np.int64(3)})
    assert json.loads(text) == {"a": None, "b": [None, 0.5, None], "c": 3}


def test_it_says_which_model_leads_if_any_was_challenged() -> None:
    assert "leads" not in SUMMARY.text()
    decided = [{"challenger": "auto", "outcome": "promoted", "samples": 1515}]
    contest = {"leads": "auto", "challengers": {"deep": {}}, "decided": decided}
    told = dataclasses.replace(SUMMARY, contest=contest).text()
    assert "\nleads       auto; auto promoted at 1,515 samples, deep still challenges\n" in told
