"""Challengers and trials: who leads behind which update, whatever the length of calls, undone and restored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from learners import KINDS, NUMBERS, VALUE, X, call, learner

from learnd.daemon.contest.contest import Challenger, Contest
from learnd.daemon.contest.decisions import Decisions
from learnd.daemon.contest.settings import ChallengerSettings
from learnd.daemon.contracts import Adaptable
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.values import Event, PhaseBegun

SLOW = {"sgd": {"learning_rate": 1e-6}}
N = 900


def linear(optimizer: Any = None, **more: Any) -> KerasLearner:
    return learner(NUMBERS, {"preset": "linear"}, optimizer=optimizer, **more)


def challenger(one: KerasLearner, name: str = "quick", **settings: Any) -> Challenger:
    given = {"name": name, "warm_up": 100, "train": {"seed": 1}, **settings}
    return Challenger(ChallengerSettings.model_validate(given), one)


def contest(*, lost: bool = False, **settings: Any) -> Contest:
    """A model that hardly learns, with a challenger that does; or the other way round."""
    slow, quick = linear(SLOW), linear()
    return Contest(quick if lost else slow, NUMBERS, [challenger(slow if lost else quick, **settings)])


def feed(one: Contest, start: int, end: int, length: int = 32, rows: int = 1) -> list[Event]:
    events: list[Event] = []
    while start < end:
        updates = min(length, (end - start) // rows)
        events += one.update(call(start, updates, rows, 4)).decided
        start += updates * rows
    return events


def test_a_better_challenger_leads_from_the_update_on_that_decides() -> None:
    one, alone = contest(), linear()
    (event,) = feed(one, 0, N)
    assert (event.kind, event.data["challenger"], event.data["outcome"]) == ("contest", "quick", "promoted")
    assert 100 < event.samples < N
    assert event.data["evidence"] >= 2
    assert event.data["compared"] == event.samples - 100
    for start in range(0, N, 32):
        alone.update(call(start, min(32, N - start), 1, 4))
    assert alone.state().arrays.keys() <= one.state().arrays.keys()
    for name, array in alone.state().arrays.items():
        np.testing.assert_array_equal(one.state().arrays[name], array, err_msg=name)
    np.testing.assert_array_equal(
        one.predict({"features": X[:9, :4]})["label"], alone.predict({"features": X[:9, :4]})["label"]
    )


def test_a_worse_one_is_dropped_and_one_that_is_the_same_stays_undecided() -> None:
    (lost,) = feed(contest(lost=True), 0, 3_000)
    assert lost.data["outcome"] == "lost"
    same = Contest(linear(), NUMBERS, [challenger(linear(), samples=700)])
    (event,) = feed(same, 0, 1_000)
    assert (event.data["outcome"], event.samples, event.data["lead"]) == ("undecided", 800, 0.0)


@pytest.mark.parametrize("rows", [1, 3])
def test_the_length_of_calls_and_an_undo_make_no_difference(rows: int) -> None:
    def made() -> Contest:
        return Contest(linear(SLOW, batch_size=rows), NUMBERS, [challenger(linear(batch_size=rows))])

    whole, found = made(), []
    found = feed(whole, 0, N, 1000, rows)
    assert [event.data["outcome"] for event in found] == ["promoted"]
    for length in (1, 7, 400):
        one = made()
        assert feed(one, 0, N, length, rows) == found, length
        assert one.state() == whole.state(), length
    one = made()
    before = one.state()
    one.update(call(0, N // rows, rows, 4))
    one.undo()
    assert one.state() == before
    assert feed(one, 0, N, N, rows) == found
    assert one.state() == whole.state()


@pytest.mark.parametrize("at", [60, 300, 800])
def test_a_state_goes_on_before_and_behind_a_decision(at: int) -> None:
    whole, first, second = contest(), contest(), contest()
    found = feed(whole, 0, N)
    told = feed(first, 0, at)
    second.restore(first.state())
    assert told + feed(second, at, N) == found
    assert second.state() == whole.state()


def test_without_challengers_the_state_is_that_of_the_learner() -> None:
    one, alone = Contest(linear(), NUMBERS), linear()
    feed(one, 0, 64)
    alone.update(call(0, 64, 1, 4))
    assert one.state() == alone.state()


def test_one_that_is_added_later_begins_anew_and_one_that_is_gone_is_forgotten() -> None:
    alone = Contest(linear(), NUMBERS)
    feed(alone, 0, 500)
    joined = contest(lost=True)
    joined.restore(alone.state())
    assert joined.standings()["challengers"]["quick"]["compared"] == 0
    assert feed(joined, 500, 3_000)[0].data["outcome"] == "lost"
    after = Contest(linear(), NUMBERS)
    after.restore(joined.state())
    assert after.state().arrays.keys() == alone.state().arrays.keys()


def test_other_settings_make_another_challenger() -> None:
    first, second = contest(lost=True), contest(lost=True, level=0.02)
    feed(first, 0, 3_000)
    assert [(one["challenger"], one["outcome"]) for one in first.standings()["decided"]] == [("quick", "lost")]
    second.restore(first.state())
    assert second.standings() == {
        "leads": "model", "challengers": {"quick": {"compared": 0, "lead": 0.0, "evidence": 0.0}}, "decided": [],
    }  # fmt: skip


def test_one_that_leads_must_be_named() -> None:
    one, alone = contest(), Contest(linear(SLOW), NUMBERS)
    feed(one, 0, N)
    before = alone.state()
    with pytest.raises(StateMismatchError, match="challengers: quick leads, and the settings do not name it"):
        alone.restore(one.state())
    assert alone.state() == before


def test_of_two_the_better_one_leads_in_the_end() -> None:
    models = [challenger(linear(), "linear"), challenger(learner(NUMBERS, {"hidden": [16]}), "deep")]
    one = Contest(linear(SLOW), NUMBERS, models)
    events = feed(one, 0, 12_000, 500)
    standings = one.standings()
    assert standings["leads"] == "deep", [event.data for event in events]
    assert standings["decided"] == [{"samples": event.samples, **event.data} for event in events]


def quicker(one: Adaptable) -> None:
    one.boost(1e6, 1_000_000)


def wilder(one: Adaptable) -> None:
    one.boost(1e4, 1_000_000)


def test_a_change_that_helps_is_taken_over_and_one_that_hurts_is_not() -> None:
    for model, change, outcome in ((linear(SLOW), quicker, "promoted"), (linear(), wilder, "lost")):
        copy = linear(SLOW if outcome == "promoted" else None)
        one = Contest(model, NUMBERS, copy=copy)
        feed(one, 0, 1_000)
        rate = one.learning_rate
        assert one.try_out("learning_rate", change, 5_000) is None
        assert one.try_out("learning_rate", change, 5_000) == "another change is on trial"
        assert one.learning_rate == rate
        (event,) = feed(one, 1_000, 6_000)
        assert (event.data["challenger"], event.data["of"], event.data["outcome"]) == (
            "trial",
            "learning_rate",
            outcome,
        )
        assert (one.learning_rate > 2 * rate) == (outcome == "promoted")
        assert one.try_out("reset_moments", lambda it: it.reset_moments(), 100) is None
        assert feed(one, 6_000, 6_200)[0].samples == 6_100


@pytest.mark.parametrize("at", [1_000, 1_040, 1_600])
def test_a_trial_goes_on_from_a_state(at: int) -> None:
    def made() -> Contest:
        one = Contest(linear(SLOW), NUMBERS, copy=linear(SLOW))
        feed(one, 0, 1_000)
        assert one.try_out("learning_rate", quicker, 5_000) is None
        return one

    whole, first = made(), made()
    second = Contest(linear(SLOW), NUMBERS, copy=linear(SLOW))
    found = feed(whole, 1_000, 2_000)
    told = feed(first, 1_000, at)
    second.restore(first.state())
    assert told + feed(second, at, 2_000) == found
    assert second.state() == whole.state()


def test_a_phase_that_was_tried_begins_when_it_has_won() -> None:
    # the first phase trains the output alone, which knows nothing of products
    phases = [{"unfreeze": "output", "learning_rate": 1e-6, "until": "command"}, {"unfreeze": "*", "warm_up": 0}]

    def made() -> KerasLearner:
        return learner(NUMBERS, {"hidden": [8]}, phases=phases)

    one = Contest(made(), NUMBERS, copy=made())
    assert one.try_out("next_phase", lambda it: it.next_phase("trial", 0), 5_000) is None
    assert one.phase == 0
    report = one.update(call(0, 5_000, 1, 4))
    (begun,) = report.phases
    assert isinstance(begun, PhaseBegun)
    assert (begun.samples, begun.data["number"], one.phase) == (report.decided[0].samples, 1, 1)
    assert one.try_out("next_phase", lambda it: it.next_phase("trial", 0), 5_000) == "no phase follows"


def test_it_is_the_one_that_leads_that_is_exported(tmp_path: Path) -> None:
    one = contest()
    feed(one, 0, N)
    one.export(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(opened(X[:5, :4]), one.predict({"features": X[:5, :4]})["label"], rtol=1e-5)


def test_it_is_the_one_that_leads_whose_predictions_are_served_otherwise() -> None:
    one = Contest(linear(SLOW), NUMBERS, [challenger(linear(average={}))])
    assert one.served_otherwise is None
    (event,) = feed(one, 0, N)
    assert event.data["outcome"] == "promoted"
    assert one.served_otherwise == (
        "with averages of its weights",
        "set train.average.hedge: true, or leave train.average out",
    )


def test_every_kind_of_task_has_a_loss_to_compare() -> None:
    for spec, y in ((KINDS, (X[:, 4:] % 4)), (VALUE, X[:, :1] - 2 * X[:, 1:2])):
        models = [learner(spec, {"task": spec.task.kind, "preset": "linear"}, optimizer=rate) for rate in (SLOW, None)]
        one = Contest(models[0], spec, [challenger(models[1])])
        events = [event for at in range(0, 4_000, 500) for event in one.update(call(at, 500, 1, y=y)).decided]
        assert [event.data["outcome"] for event in events] == ["promoted"], spec.task.kind


def test_another_phase_that_comes_with_another_leader_is_told_with_its_sample() -> None:
    """So that what ends the phase of a later event is known, however calls are cut."""

    def phases(length: int) -> list[Any]:
        leading = linear(SLOW, phases=[{"until": "plateau"}, {}])
        one = Contest(leading, NUMBERS, [challenger(linear())])
        found = []
        for start in range(0, N, length):
            found += one.update(call(start, min(length, N - start), 1, 4)).phases
        return found

    (told,) = phases(N)
    assert (told.data["number"], told.data["cause"], told.ends_on) == (0, "promoted", None)
    assert 100 < told.samples < N
    assert phases(7) == phases(1) == [told]


def test_challengers_in_the_same_phase_go_on_with_the_model() -> None:
    plan = [{"until": "plateau"}, {}]
    same, own = linear(phases=plan), linear()
    one = Contest(linear(phases=plan), NUMBERS, [challenger(same, "same"), challenger(own, "own")])
    begun = one.next_phase("plateau", 0)
    assert begun is not None
    assert (one.phase, same.phase, own.phase) == (1, 1, 0)
    assert one.next_phase("plateau", 0) is None


def told(events: Sequence[Event]) -> list[tuple[str, str, str | None, int | None]]:
    return [
        (one.data["challenger"], one.data["outcome"], one.data.get("was"), one.data.get("decided_at")) for one in events
    ]


def test_a_challenger_that_knows_more_than_the_state_that_is_gone_back_to_is_called_off() -> None:
    alone = Contest(linear(), NUMBERS)
    feed(alone, 0, 100)
    earlier = alone.state()  # as of before it was named
    one = contest(lost=True)
    one.restore(earlier)
    feed(one, 100, 150)
    assert told(one.go_back(earlier, 150)) == [("quick", "called off", None, None)]
    (decided,) = one.standings()["decided"]
    assert (decided["challenger"], decided["outcome"], decided["samples"]) == ("quick", "called off", 150)
    assert (one.standings()["leads"], one.standings()["challengers"]) == ("model", {})
    assert feed(one, 150, 300) == []


def test_what_is_gone_back_from_is_taken_back_and_decided_anew() -> None:
    one = contest()
    feed(one, 0, 100)
    earlier = one.state()
    (event,) = feed(one, 100, N)
    assert told(one.go_back(earlier, N)) == [("quick", "taken back", "promoted", event.samples)]
    assert one.standings()["leads"] == "model"
    assert one.standings()["decided"] == []
    (again,) = feed(one, 100, N)
    assert again == event
    assert one.go_back(one.state(), N) == []
    assert [decided["samples"] for decided in one.standings()["decided"]] == [event.samples]


def test_a_trial_that_began_later_is_called_off_and_one_that_ended_later_goes_on() -> None:
    one = Contest(linear(SLOW), NUMBERS, copy=linear(SLOW))
    feed(one, 0, 500)
    before = one.state()
    one.try_out("learning_rate", quicker, 5_000)
    on_trial = one.state()
    (won,) = feed(one, 500, 1_500)
    one.try_out("reset_moments", lambda it: it.reset_moments(), 5_000)
    feed(one, 1_500, 1_600)
    assert told(one.go_back(on_trial, 1_600)) == [
        ("trial", "taken back", "promoted", won.samples), ("trial", "called off", None, None),
    ]  # fmt: skip
    assert feed(one, 500, 1_500) == [won]
    one.restore(on_trial)
    assert told(one.go_back(before, 1_600)) == [("trial", "called off", None, None)]
    assert one.leader.state() == before
    assert [(of["outcome"], of["samples"]) for of in one.standings()["decided"]] == [("called off", 1_600)]


def test_of_trials_the_latest_are_kept() -> None:
    decisions = Decisions()
    for samples in range(60):
        decisions.add(Event("contest", samples, {"challenger": "trial", "outcome": "lost"}))
        if samples == 3:
            decisions.add(Event("contest", samples, {"challenger": "quick", "outcome": "lost"}))
    assert [one["samples"] for one in decisions.facts()] == [3, *range(10, 60)]
