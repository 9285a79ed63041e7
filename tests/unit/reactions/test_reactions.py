"""Rules on a learner that follows a script: at which sample they act, once, and the same however calls are cut."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import SPEC, Rig, Stream, errors

from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.drift.watch import Drift
from learnd.daemon.errors import DataError
from learnd.daemon.reactions.settings import DEFAULT_REACTIONS, Reaction
from learnd.daemon.reactions.triggers import Drop, Plateau
from learnd.daemon.reactions.watching import Watching
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import Call, Event, Report

RATE = {"on": "drift.confirmed", "signal": "error", "do": [{"learning_rate": {"times": 3, "over": 500}}]}


DRIFTING = Stream(errors((2500, 0.05), (3500, 0.5)))
RULES = [
    {**RATE, "cooldown": 1000},
    {"on": "drift.warning", "do": ["reset_moments", "log"], "cooldown": 700},
    {"on": "drift.confirmed", "signal": "features", "do": ["refit_standardization", "checkpoint"]},
    {"on": "score.plateau", "window": 400, "after": 2, "do": ["next_phase"], "cooldown": 900},
    {"on": "loss.spike", "do": ["log"], "cooldown": 100},
    {"on": "update.non_finite", "after": 5, "do": [{"roll_back": {"every": 1000, "times": 0.5, "most": 9}}]},
]
PHASES = ["command"] * 9


def troubled(seed: int = 5) -> Stream:
    rng = np.random.default_rng(seed)
    skips = np.zeros(6000)
    skips[rng.integers(0, 6000, 40)] = 2
    skips[3210:3230] = 1
    skips[4500:4540] = 1
    return Stream(errors((2500, 0.05), (3500, 0.5)), skips)


def test_the_learning_rate_rises_right_behind_the_sample_that_confirms_the_drift() -> None:
    run = Rig([RATE]).feed(DRIFTING, [0, 6000])
    confirmed = next(e for e in run.of_kind("drift") if e.data["level"] == "confirmed" and e.data["signal"] == "error")
    assert 2500 < confirmed.samples < 2700
    assert run.learner.done == [["boost", confirmed.samples, 3, 500]]
    assert run.learner.samples == 6000


def test_a_reaction_is_an_entry_with_its_cause_and_later_with_what_became_of_it() -> None:
    run = Rig([RATE]).feed(DRIFTING, [0, 6000])
    (reaction,) = run.of_kind("reaction")
    (outcome,) = run.of_kind("reaction.outcome")
    assert reaction.data["cause"]["detector"] == "adwin"
    assert reaction.data["actions"] == {"learning_rate": "done"}
    before = float(DRIFTING.x[reaction.samples - 1000 : reaction.samples, 0].mean())
    after = float(DRIFTING.x[reaction.samples : reaction.samples + 1000, 0].mean())
    assert outcome.samples == reaction.samples + 1000
    assert reaction.data["error_before"] == outcome.data["error_before"] == pytest.approx(before)
    assert outcome.data["error_after"] == pytest.approx(after)


def test_a_rule_rests_for_its_cooldown() -> None:
    stream = Stream(errors((2500, 0.05), (3000, 0.5), (3000, 0.95)))
    watch = [DriftWatch.model_validate({"watch": "error", "detector": "adwin", "quiet": 1})]
    often = Rig([{**RATE, "cooldown": 0}], watch).feed(stream, [0, 8500])
    once = Rig([{**RATE, "cooldown": 8000}], watch).feed(stream, [0, 8500])
    assert len(often.of_kind("drift")) == len(once.of_kind("drift")) >= 2
    assert len(often.learner.done) == len(often.of_kind("drift"))
    assert len(once.learner.done) == 1


@settings(max_examples=8, deadline=None)
@given(cuts=st.sets(st.integers(1, 5999), max_size=25), batch=st.sampled_from([1, 3, 8]))
def test_how_updates_are_grouped_into_calls_changes_nothing(cuts: set[int], batch: int) -> None:
    end = 6000 // batch * batch
    places = sorted({cut // batch * batch for cut in cuts} | {0, end})
    other = Rig(rules_of(batch), ends=PHASES).feed(troubled(), places, batch)
    assert other.outcome == in_one_call(batch)


@cache
def in_one_call(batch: int) -> Any:
    whole = Rig(rules_of(batch), ends=PHASES).feed(troubled(), [0, 6000 // batch * batch], batch)
    assert len(whole.learner.done) >= 3
    assert whole.of_kind("phase")
    return whole.outcome


def rules_of(batch: int) -> list[dict[str, Any]]:
    return RULES if batch == 1 else RULES[:-1]


@pytest.mark.parametrize("at", [1, 900, 2620, 3215, 4000, 4531, 5999])
def test_what_was_restored_goes_on_the_same(at: int) -> None:
    stream = troubled()
    first = Rig(RULES).feed(stream, [0, at])
    second = first.saved(RULES).feed(stream, [at, 6000])
    second.events = first.events + second.events
    second.set_aside = first.set_aside + second.set_aside
    assert second.outcome == not_restored()


@cache
def not_restored() -> Any:
    return Rig(RULES).feed(troubled(), [0, 6000]).outcome


def test_after_many_skips_in_a_row_the_model_goes_back_and_what_it_lost_is_set_aside() -> None:
    skips = np.zeros(5000)
    skips[2300:2400] = 1
    stream = Stream(np.zeros(5000), skips)
    rule = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 1000, "times": 0.5, "most": 3}}]}
    run = Rig([rule], []).feed(stream, [0, 5000])
    (rollback,) = run.of_kind("rollback")
    assert rollback.samples == 3000
    assert rollback.data["samples_taken_back"] == 900
    assert [(letter.start, letter.end, letter.defect.reason) for letter in run.set_aside] == [
        (2000, 3000, "rolled_back")
    ]
    assert run.progress.ranges() == {"p": [[0, 2000], [3000, 5000]]}
    assert (run.progress.samples_trained, run.progress.rejected["rolled_back"]) == (4000, 900)
    assert run.learner.done == [["slow_down", 2000, 0.5]]
    assert run.progress.positions == {"p": 5000}


def test_each_return_to_the_same_copy_slows_further_down_and_the_last_one_stops() -> None:
    stream = Stream(np.zeros(3000), np.where(np.arange(3000) > 1500, 1, 0))
    stream.x[1995:2005, 1] = 0

    def life(most: int) -> Rig:
        back = {"roll_back": {"every": 1000, "most": most}}
        rule = {"on": "update.non_finite", "after": 10, "do": [back], "cooldown": 0}
        return Rig([rule], []).feed(stream, [0, 3000])

    once, twice = life(1), life(2)
    with pytest.raises(DataError, match=r"roll_back\.most"):
        once.reactions.check()
    assert len(once.of_kind("rollback")) == 1
    twice.reactions.check()
    assert twice.learner.done == [["slow_down", 1000, 0.25]]
    assert [(letter.start, letter.end) for letter in twice.set_aside] == [(1000, 2000), (2000, 3000)]


def score(samples: int, accuracy: float, name: str = "anchor") -> Event:
    return Event("score", samples, {"set": name, "metrics": {"accuracy": accuracy}})


def test_a_score_that_drops_is_measured_from_its_best() -> None:
    rule = {"on": "score.drop", "margin": 0.1, "do": ["reset_moments"], "cooldown": 0}
    scores = [score(1000, 0.8), score(2000, 0.9), score(3000, 0.81), score(4000, 0.79), score(5000, 0.7)]
    scores.insert(1, Event("mixture", 1000, {"shares": {"columns": 1.0}}))  # no score
    run = Rig([rule], []).feed(Stream(np.zeros(6000)), range(0, 6001, 500), scores=scores)
    assert [event.samples for event in run.of_kind("score.drop")] == [4000]


def test_other_anchor_samples_have_no_best_yet() -> None:
    def found(rule: dict[str, Any], anchor: str) -> list[int]:
        first, resumed = (
            Watching([Reaction.model_validate(rule)], Drift((), SPEC), SPEC, name) for name in ("one", anchor)
        )
        first.watch_scores([score(1000, 0.9)])
        resumed.restore(first.state())
        return [event.samples for event in resumed.watch_scores([score(2000, 0.5)])]

    rule = {"on": "score.drop", "margin": 0.1, "do": ["log"]}
    assert found(rule, "one") == [2000]
    assert found(rule, "another") == []


def test_a_model_that_went_back_is_expected_to_score_as_then() -> None:
    rule = {"on": "score.drop", "margin": 0.1, "do": [{"roll_back": {"every": 1000, "most": 9}}], "cooldown": 0}
    scores = [score(1000, 0.9), score(1500, 0.5), score(2000, 0.4), score(2500, 0.7), score(4500, 0.9)]
    run = Rig([rule], []).feed(Stream(np.zeros(6000)), range(0, 6001, 500), scores=scores)
    assert [(event.samples, event.data["best"]) for event in run.of_kind("score.drop")] == [(1500, 0.9), (2500, 0.9)]
    assert [event.samples for event in run.of_kind("rollback")] == [2000, 3000]


def test_a_plateau_is_so_many_windows_without_progress() -> None:
    rule = {"on": "score.plateau", "window": 500, "after": 2, "margin": 0.5, "do": ["next_phase"], "cooldown": 0}
    stream = Stream(errors((500, 0.8), (500, 0.2), (2000, 0.2)))
    run = Rig([rule], []).feed(stream, [0, 3000])
    assert [event.samples for event in run.of_kind("score.plateau")] == [2000, 3000]
    assert run.of_kind("reaction")[0].data["actions"] == {"next_phase": "nothing"}


@pytest.mark.parametrize("cuts", [[0, 3000], [0, 900, 3000], [0, 899, 901, 1700, 3000], range(0, 3001, 100)])
def test_a_plateau_is_waited_for_anew_when_a_phase_begins(cuts: Sequence[int]) -> None:
    rule = {"on": "score.plateau", "window": 400, "after": 1, "do": ["reset_moments"], "cooldown": 0}
    run = Rig([rule], [], ends=[900]).feed(Stream(np.ones(3000)), cuts)
    assert [event.samples for event in run.of_kind("score.plateau")] == [800, 1700, 2100, 2500, 2900]
    assert [event.samples for event in run.of_kind("phase")] == [900]


def test_a_model_that_goes_back_goes_on_in_its_phase() -> None:
    skips = np.zeros(4000)
    skips[2300:2400] = 1
    rule = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 1000}}]}
    run = Rig([rule], [], ends=[2100]).feed(Stream(np.zeros(4000), skips), [0, 4000])
    told = [(event.samples, event.data["number"], event.data.get("cause")) for event in run.of_kind("phase")]
    assert told == [(2100, 1, "samples"), (3000, 1, "rollback")]
    assert run.learner.phase == 1


def test_a_return_that_was_due_is_not_dropped_silently(capsys: pytest.CaptureFixture[str]) -> None:
    skips = np.zeros(3000)
    skips[2300:2400] = 1
    stream = Stream(np.zeros(3000), skips)
    rule = {"on": "update.non_finite", "after": 10, "do": [{"roll_back": {"every": 1000}}]}
    due = Rig([rule], []).feed(stream, [0, 2500])
    assert due.saved([rule]).feed(stream, [2500, 3000]).of_kind("rollback")
    capsys.readouterr()
    assert not due.saved([RATE]).feed(stream, [2500, 3000]).of_kind("rollback")
    assert "roll_back_dropped" in capsys.readouterr().out


def test_the_actions_beside_a_return_come_in_their_order_and_it_leaves_a_good_model() -> None:
    skips = np.zeros(4000)
    skips[2300:2400] = 1
    rule = {"on": "update.non_finite", "after": 10, "do": ["log", {"roll_back": {"every": 1000}}, "checkpoint"]}
    run = Rig([rule], []).feed(Stream(np.zeros(4000), skips), [0, 3000])
    (reaction,) = run.of_kind("reaction")
    assert list(reaction.data["actions"].items()) == [("log", "done"), ("roll_back", "done"), ("checkpoint", "done")]
    assert run.reactions.good


def test_a_drift_keeps_its_level_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    Rig([{**RATE, "do": ["log"]}]).feed(DRIFTING, [0, 6000])
    line = next(line for line in capsys.readouterr().out.splitlines() if "reaction" in line)
    assert "on='drift.confirmed of error'" in line


def test_a_pin_that_was_asked_for_outlasts_a_pause_that_is_over() -> None:
    run = Rig([{**RATE, "do": ["checkpoint", "pause"]}]).feed(DRIFTING, [0, 6000])
    run.command("resume")
    assert run.control.paused is None
    assert run.saving.wanted
    assert run.saving.take()


def test_a_pause_and_a_checkpoint_are_asked_of_the_loop() -> None:
    run = Rig([{**RATE, "do": ["checkpoint", "pause"]}]).feed(DRIFTING, [0, 6000])
    (reaction,) = run.of_kind("reaction")
    assert run.control.paused == f"drift.confirmed of error at {reaction.samples:,} samples"
    assert run.saving.wanted
    assert run.saving.take()
    assert not run.saving.wanted


def test_other_rules_than_before_begin_anew_on_what_was_seen() -> None:
    first = Rig(RULES).feed(DRIFTING, [0, 2000])
    run = first.saved([RATE]).feed(DRIFTING, [2000, 6000])
    assert [name for name, *_ in run.learner.done if name != "next_phase"] == ["boost"]
    assert run.of_kind("score.plateau") == []


def test_what_is_not_finite_is_no_progress_and_a_score_that_is_not_is_a_drop() -> None:
    plateau = Plateau(Reaction.model_validate({"on": "score.plateau", "window": 10, "after": 2, "do": ["log"]}), 0)
    counts = np.arange(1, 11)
    assert plateau.scan(np.full(10, np.nan), counts) == []
    plateau.scan(np.full(10, 0.5), counts)
    plateau.scan(np.array([np.nan] * 5 + [0.5] * 5), counts)
    assert [event.data["best"] for event in plateau.scan(np.full(10, 0.5), counts)] == [0.5]
    drop = Drop(Reaction.model_validate({"on": "score.drop", "do": ["log"]}), 0, KINDS["regression"])
    scores = [
        Event("score", n, {"set": "anchor", "metrics": {"rmse": rmse}}) for n, rmse in enumerate((np.nan, 1, np.nan))
    ]
    assert [event.samples for event in drop.scan(scores)] == [2]


@pytest.mark.parametrize(("rate", "back"), [(0.1, False), (0.7, True)])
def test_a_held_out_score_that_falls_alone_is_reported_and_nothing_is_rolled_back(rate: float, back: bool) -> None:
    back_to = {"roll_back": {"every": 1000, "most": 9}}
    rule = {"on": "score.drop", "margin": 0.3, "if_error_rose": True, "do": [back_to], "cooldown": 0}
    scores = [score(1000, 0.9, "holdout"), score(3500, 0.4, "holdout")]
    stream = Stream(errors((3000, 0.1), (2000, rate)))
    run = Rig([rule], []).feed(stream, range(0, 5001, 500), scores=scores)
    assert [event.samples for event in run.of_kind("score.drop")] == [3500]
    assert [event.samples for event in run.of_kind("rollback")] == ([4000] if back else [])
    (reaction,) = run.of_kind("reaction")
    assert reaction.data["actions"] == {"roll_back": "done" if back else "nothing"}


def test_the_usual_rules_roll_back_for_a_held_out_score_only_if_the_error_rose_too() -> None:
    rules = [rule for rule in DEFAULT_REACTIONS if rule.on == "score.drop" and "roll_back" in rule.actions]
    assert [rule.if_error_rose for rule in rules] == [True]


def test_of_columns_that_are_not_watched_there_is_a_line_and_no_rule_acts() -> None:
    stream = Stream(np.zeros(4000))
    stream.x[:, 1] = np.arange(4000) / 1e6  # a counter
    run = Rig([{"on": "drift.confirmed", "do": ["log"]}]).feed(stream, [0, 4000])
    assert [list(event.data["columns"]) for event in run.of_kind("drift.unwatched")] == [["skip"]]
    assert run.of_kind("reaction") == []


@pytest.mark.parametrize(("signal", "times"), [("features", 0), ("error", 1)])
def test_only_what_predictions_show_costs_updates_a_second_time(signal: str, times: int) -> None:
    """A drift of the features is known before the call runs, so that it ends there at once."""
    rig = Rig([{"on": "drift.confirmed", "signal": signal, "do": ["reset_moments"]}])
    undone: list[int] = []
    undo = rig.learner.undo
    rig.learner.undo = lambda: (undone.append(1), undo())[1]  # type: ignore[method-assign]
    rig.feed(Stream(errors((3_000, 0.1), (5_000, 0.7))), [0, 8_000])
    assert [event.data["cause"]["signal"] for event in rig.of_kind("reaction")] == [signal]
    assert len(undone) == times


def test_calls_that_are_divided_often_run_in_shorter_pieces() -> None:
    rng = np.random.default_rng(3)
    rates = rng.permutation(np.tile([0.05, 0.6], 40))
    rig = Rig(
        [{"on": "drift.confirmed", "signal": "error", "do": ["reset_moments"], "cooldown": 0}],
        [DriftWatch.model_validate({"watch": "error", "detector": "adwin", "quiet": 1})],
    )
    trained = 0
    update = rig.learner.update

    def counted(call: Call) -> Report:
        nonlocal trained
        trained += call.updates
        return update(call)

    rig.learner.update = counted  # type: ignore[method-assign]
    rig.feed(Stream(errors(*((500, rate) for rate in rates))), range(0, 40_001, 4_000))
    assert len(rig.of_kind("reaction")) > 10
    assert trained < 1.5 * 40_000
