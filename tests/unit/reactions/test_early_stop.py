"""Scores that get no better: the run ends with the model that scored best, once, and the same however it is resumed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rig import SPEC, Rig, Scripted, Stream

from learnd.daemon.config.file import load_settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.reactions.set_scores import ComparedScore, SetPlateau
from learnd.daemon.reactions.settings import Reaction
from learnd.daemon.values import Event

STOP = {"on": "score.plateau", "of": "holdout", "after": 2, "do": ["stop"]}
LOSSES = [0.7, 0.5, 0.6, 0.4, 0.45, 0.4, 0.3, 0.2]
STREAM = Stream(np.zeros(8000))


def scores(values: Sequence[float], name: str = "holdout", metric: str = "log_loss") -> list[Event]:
    return [
        Event("score", 1000 * number, {"set": name, "metrics": {metric: value}})
        for number, value in enumerate(values, 1)
    ]


def until_stopped(run: Rig, start: int = 0, values: Sequence[float] = LOSSES) -> Rig:
    """Feed what is left of the stream in calls of 500 samples, up to the end of the run."""
    for first in range(start, 8000, 500):
        if run.reactions.stopped:
            break
        run.feed(STREAM, [first, first + 500], scores=scores(values))
    return run


def found(rule: dict[str, Any], values: Sequence[float], metric: str = "log_loss") -> list[tuple[str, int]]:
    made = Reaction.model_validate(rule)
    plateau = SetPlateau(made, 0, ComparedScore.of(made, SPEC))
    return [(event.kind, event.samples) for event in plateau.scan(scores(values, metric=metric))]


def test_after_so_many_scores_that_are_no_better_the_best_model_comes_back() -> None:
    run = until_stopped(Rig([STOP], []))
    assert run.reactions.stopped == "score.plateau at 6,000 samples"
    assert run.learner.samples == run.progress.samples_trained == 4000
    assert run.learner.weight == Rig([], []).feed(STREAM, [0, 4000]).learner.weight
    (told,) = run.of_kind("stopped")
    assert (told.samples, told.data["best"], told.data["best_at"]) == (6000, 0.4, 4000)
    assert told.data["samples_taken_back"] == 2000
    assert [(letter.start, letter.end, letter.defect.reason) for letter in run.set_aside] == [
        (4000, 6000, "rolled_back")
    ]
    assert run.progress.ranges() == {"p": [[0, 4000]]}
    assert [event.samples for event in run.of_kind("score.best")] == [1000, 2000, 4000]


@pytest.mark.parametrize("at", [500, 4000, 4500, 5500])
def test_what_was_restored_stops_at_the_same_score(at: int) -> None:
    first = Rig([STOP], []).feed(STREAM, range(0, at + 1, 500), scores=scores(LOSSES))
    second = until_stopped(first.saved([STOP]), at)
    second.events, second.set_aside = first.events + second.events, first.set_aside + second.set_aside
    assert second.outcome == until_stopped(Rig([STOP], [])).outcome


def test_it_stays_ended_under_the_same_rules_alone() -> None:
    over = until_stopped(Rig([STOP], []))
    assert over.saved([STOP]).reactions.stopped == over.reactions.stopped
    assert over.saved([{**STOP, "after": 3}]).reactions.stopped is None


def best_of(run: Rig) -> Any:
    return run.reactions.state().part("early_stop").part("best").facts["progress"]


def test_the_best_copy_goes_with_the_best_score() -> None:
    rules = [{**STOP, "cooldown": 0}]
    over = until_stopped(Rig(rules, []))
    gone_on = over.saved(rules, callbacks=Scripted("otherwise"))
    assert gone_on.reactions.stopped is None
    assert best_of(gone_on)["samples"] == 4000
    ended = until_stopped(gone_on, 6000, [*LOSSES[:6], 0.5, 0.5, 0.5])
    assert (ended.reactions.stopped, ended.learner.samples) == ("score.plateau at 8,000 samples", 4000)
    begun = over.saved(rules, anchor="of others")
    assert best_of(begun) is None
    assert begun.watching.state().facts["set_plateau0"]["best"] is None


def test_the_best_model_is_the_good_copy_where_that_one_was_of_later() -> None:
    back = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 5000}}]}
    run = until_stopped(Rig([STOP, back], []))
    assert run.of_kind("stopped")[0].data["best_at"] == 4000
    run.command("resume")
    assert run.command("roll_back").data["outcome"] == "done"
    assert run.learner.samples == 4000


def test_resume_goes_on_from_the_best_model_and_waits_anew() -> None:
    run = until_stopped(Rig([STOP], []))
    assert run.command("resume").data["outcome"] == "done"
    assert run.reactions.stopped is None
    until_stopped(run, 6000)
    assert run.reactions.stopped is None
    assert [event.samples for event in run.of_kind("score.best")][3:] == [7000, 8000]


def test_without_return_the_model_stays_and_no_copy_is_kept() -> None:
    rule = {**STOP, "do": [{"stop": {"restore_best": False}}]}
    run = until_stopped(Rig([rule], []))
    assert run.reactions.stopped
    assert (run.learner.samples, run.set_aside) == (6000, [])
    kept = run.reactions.state().part("early_stop").part("best")
    assert kept.facts["progress"] is None


def test_callbacks_are_left_alone_once_a_rule_has_ended_the_run() -> None:
    callbacks = Scripted("as they are")
    run = until_stopped(Rig([STOP], [], callbacks=callbacks))
    run.command("pause")
    ends = [entry for entry in callbacks.calls if entry != ["begin"]]
    assert ends == [[end, int(end % 1000 == 0)] for end in range(500, 6000, 500)]
    assert callbacks.calls.count(["begin"]) == 12


def test_a_best_model_that_a_rollback_takes_back_is_not_returned_to() -> None:
    skips = np.zeros(10_000)
    skips[5300:5400] = 1
    stream, values = Stream(np.zeros(10_000), skips), [0.7, 0.6, 0.5, 0.4, 0.3, 0.6, 0.7, 0.8, 0.8]
    back = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 3000}}]}
    run = Rig([STOP, back], []).feed(stream, range(0, 9001, 500), scores=scores(values))
    assert [event.samples for event in run.of_kind("rollback")] == [6000]
    assert [event.samples for event in run.of_kind("score.best")][-2:] == [5000, 7000]
    assert [event.samples for event in run.of_kind("stopped")] == [9000]
    assert run.progress.ranges() == {"p": [[0, 3000], [6000, 7000]]}
    assert run.learner.samples == run.progress.samples_trained == 4000


@pytest.mark.parametrize(
    ("rule", "values", "best"),
    [
        ({}, [0.5, 0.4999, 0.5], [1000, 2000]),
        ({"margin": 0.1}, [0.5, 0.46, 0.44, 0.41], [1000, 3000]),
        ({}, [float("nan"), 0.5, float("inf"), float("nan")], [2000]),
        ({}, [0.0, 0.0], [1000]),
    ],
)
def test_better_is_lower_by_a_share_of_the_best(rule: Any, values: list[float], best: list[int]) -> None:
    told = found({**STOP, "after": 9, **rule}, values)
    assert told == [("score.best", samples) for samples in best]


def test_better_is_higher_by_a_plain_difference_where_more_is_better() -> None:
    rule = {**STOP, "metric": "accuracy", "margin": 0.1, "after": 1}
    told = found(rule, [0.5, 0.59, 0.61], "accuracy")
    assert told == [("score.best", 1000), ("score.plateau", 2000), ("score.best", 3000)]


def test_a_score_that_cannot_be_told_is_no_better() -> None:
    rule = {**STOP, "metric": "auc"}
    assert found(rule, [0.5, 0.6]) == [("score.plateau", 2000)]


def test_scores_of_another_set_are_not_waited_for() -> None:
    made = Reaction.model_validate(STOP)
    assert SetPlateau(made, 0, ComparedScore.of(made, SPEC)).scan(scores(LOSSES, "anchor")) == []


@pytest.mark.parametrize(
    ("metric", "sections", "words"),
    [
        ("log_los", {}, "reactions.0.metric: 'log_los' is no score of the holdout: did you mean 'log_loss'?"),
        ("kappa_temporal", {}, "reactions.0.metric: 'kappa_temporal' is no score of the holdout"),
        (None, {"metrics": ["accuracy"]}, "log_loss, the usual one, is not in validate.metrics; name one of accuracy"),
    ],
)
def test_a_score_that_never_comes_is_not_waited_for(tmp_path: Path, metric: Any, sections: Any, words: str) -> None:
    rule = {**STOP, **({"metric": metric} if metric else {})}
    settings = {
        "source": {"files": {"path": "stream.jsonl"}},
        "samples": {"features": {"a": "float"}, "label": "y"},
        "validate": {"holdout": {}, **sections},
        "reactions": [rule],
    }
    (tmp_path / "learnd.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path / "learnd.yaml", environ={})
    assert words in str(raised.value)


def test_one_rule_alone_may_stop(tmp_path: Path) -> None:
    settings = {
        "source": {"files": {"path": "stream.jsonl"}},
        "samples": {"features": {"a": "float"}, "label": "y"},
        "validate": {"holdout": {}},
        "reactions": [STOP, {**STOP, "after": 9}],
    }
    (tmp_path / "learnd.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(SettingsError) as raised:
        load_settings(tmp_path / "learnd.yaml", environ={})
    assert "reactions.0 and reactions.1 both have stop: one best model is kept" in str(raised.value)
