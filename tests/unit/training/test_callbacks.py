"""Callbacks of Keras at the ends of epochs: they act as in `fit`, and go on from what a checkpoint has of them."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from learners import call, learner
from processes import SUPPORT

from learnd.daemon.errors import ModelError
from learnd.daemon.training.callbacks import KerasCallbacks
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.values import Event, State, canonical_json

EPOCH = 40
RATES = [0.5, 0.4, 0.45, 0.46, 0.3, 0.31, 0.32, 0.33, 0.34]


def made(function: str, one: KerasLearner | None = None) -> tuple[KerasCallbacks, KerasLearner]:
    one = one or learner(batch_size=8, optimizer={"sgd": {"learning_rate": 0.1}}, rate_fixable=True)
    return KerasCallbacks(SUPPORT / f"own_callbacks.py:{function}", one, "holdout", EPOCH), one


def held_out(loss: float, samples: int) -> Event:
    metrics = {"accuracy": 0.5, "log_loss": loss}
    return Event("score", samples, {"set": "holdout", "window": "all", "metrics": metrics})


def trained(parts: tuple[KerasCallbacks, KerasLearner], first: int, losses: Sequence[float]) -> list[Event]:
    """Train an epoch for each loss that the holdout has at its end, until they stop."""
    callbacks, one = parts
    told: list[Event] = []
    for epoch, loss in enumerate(losses, first):
        callbacks.begin()
        for start, rows in ((0, 24), (24, 16)):
            each = call(EPOCH * epoch + start, rows // 8, 8)
            callbacks.look(one.update(each))
            last = start + rows == EPOCH
            told += callbacks.finish(each, [held_out(loss, each.end)] if last else [])
        if callbacks.stop:
            break
    return told


def weights(one: KerasLearner) -> Any:
    return np.concatenate([np.ravel(weight) for weight in one.model.get_weights()])


def stored(state: State) -> State:
    return State(state.arrays, json.loads(canonical_json(state.facts)))


def test_the_rate_falls_at_a_plateau_and_the_best_weights_come_back_when_it_stops() -> None:
    parts = made("fitting")
    told = trained(parts, 0, RATES)
    assert [event.samples for event in told] == [EPOCH * n for n in range(1, 9)]
    assert parts[0].stop
    rates = [event.data["learning_rate"] for event in told]
    # epochs 2, 3, 5, 6 and 7 are no better, and epochs 2 and 5 are third ones
    factors = [1, 1, 0.5 * 0.7, 0.5, 1, 0.5 * 0.7, 0.5, 0.5]
    np.testing.assert_allclose(rates, 0.1 * np.cumprod(factors), rtol=1e-6)
    assert {"loss", "val_loss", "val_accuracy"} <= set(told[0].data["logs"])
    best = made("fitting")
    trained(best, 0, RATES[:5])
    np.testing.assert_array_equal(weights(parts[1]), weights(best[1]))


def test_what_goes_on_after_a_stop_is_another_fit() -> None:
    parts = made("fitting")
    trained(parts, 0, RATES)
    told = trained(parts, 8, [0.9, 0.8, 0.85])
    assert [event.data["epoch"] for event in told] == [0, 1, 2]
    assert not parts[0].stop


def test_scores_have_the_names_of_keras() -> None:
    callbacks, one = made("fitting")
    each = call(0, 5, 8)
    callbacks.begin()
    callbacks.look(one.update(each))
    sets = {"holdout": {"rmse": 0.5}, "anchor": {"log_loss": 0.7}, "prequential": {"mae": 0.2}}
    scores = [Event("score", 40, {"set": name, "window": "all", "metrics": its}) for name, its in sets.items()]
    scores.append(Event("score", 40, {"set": "prequential", "window": 10, "metrics": {"mae": 9.0}}))
    (told,) = callbacks.finish(each, scores)
    logs = dict(told.data["logs"])
    assert logs.pop("loss") > 0
    assert logs == {"val_rmse": 0.5, "val_loss": 0.25, "anchor_log_loss": 0.7, "anchor_loss": 0.7, "mae": 0.2}


@pytest.mark.parametrize(
    ("function", "at"), [("fitting", 1), ("fitting", 4), ("fitting", 7), ("scoring", 2), ("by_schedule", 1)]
)
def test_what_was_restored_goes_on_the_same(function: str, at: int) -> None:
    whole, first, second = made(function), made(function), made(function)
    expected = trained(whole, 0, RATES)
    told = trained(first, 0, RATES[:at])
    for one, other in zip(first, second, strict=True):
        other.restore(stored(one.state()))
    assert told + trained(second, at, RATES[at:]) == expected
    for one, other in zip(whole, second, strict=True):
        assert one.state() == other.state()


def test_one_may_add_to_the_logs_for_the_next() -> None:
    parts = made("scoring")
    assert [event.data["epoch"] for event in trained(parts, 0, [0.5, 0.4, 0.4, 0.4, 0.4])] == [0, 1, 2, 3]
    assert parts[0].stop


def test_a_schedule_of_epochs_sets_the_rate_before_each() -> None:
    told = trained(made("scheduled"), 0, RATES[:4])
    np.testing.assert_allclose([event.data["learning_rate"] for event in told], [0.1, 0.05, 0.025, 0.0125])


@pytest.mark.parametrize(("first", "second"), [("fitting", "scheduled"), ("waiting", "waiting_longer")])
def test_other_callbacks_begin_anew(first: str, second: str) -> None:
    before, after = made(first), made(second)
    assert before[0].made == made(first)[0].made != after[0].made
    trained(before, 0, RATES[:2])
    after[0].restore(stored(before[0].state()))
    assert [event.data["epoch"] for event in trained(after, 2, RATES[:1])] == [0]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("saving", "ModelCheckpoint is not taken: checkpoints are saved anyway"),
        ("each_batch", "EachBatch acts on on_train_batch_end, and thousands of updates run in one compiled call"),
        ("with_file", "WithFile.file holds an object of the type object, which a checkpoint cannot"),
        ("with_metric", "Gathering.kept holds an object of the type Mean"),
        ("with_shared", "Gathering.kept holds a list that it or another one of them holds elsewhere, too"),
        ("with_argument", "missing 1 required positional argument: 'spec'"),
        ("not_one", "returned int; it must return a list of Keras callbacks"),
        ("nothing", "has no function 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_trains(function: str, words: str) -> None:
    with pytest.raises(ModelError, match="callbacks: ") as raised:
        made(function)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("failing", "callbacks: Failing.on_epoch_end failed with KeyError"),
        ("setting", "a callback may set the learning_rate of the optimizer, and not its beta_1"),
    ],
)
def test_one_that_fails_is_told_with_its_place(function: str, words: str) -> None:
    with pytest.raises(ModelError, match=r"own_callbacks\.py:\d+") as raised:
        trained(made(function), 0, RATES[:1])
    assert words in str(raised.value)


@pytest.mark.filterwarnings("ignore:Learning rate reduction is conditioned")
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            "monitoring_nothing",
            "ReduceLROnPlateau monitors 'val_auc', which is not in the logs of this epoch: there are ",
        ),
        ("gathering_objects", "Gathering.kept holds an object of the type object"),
        ("to_infinity", "a learning rate is a finite number from 0 on, and not inf"),
        ("below_nothing", "a learning rate is a finite number from 0 on, and not -0.1"),
    ],
)
def test_what_cannot_go_on_is_told_at_the_end_of_the_first_epoch(function: str, words: str) -> None:
    with pytest.raises(ModelError, match="callbacks: ") as raised:
        trained(made(function), 0, RATES[:1])
    assert words in str(raised.value)


def of_rate(rate: Any, *, fixable: bool = True) -> KerasLearner:
    phases = [{"unfreeze": 1, "until": "command"}, {"unfreeze": "*", "warm_up": 0}]
    return learner(batch_size=8, optimizer={"sgd": {"learning_rate": rate}}, phases=phases, rate_fixable=fixable)


DECAY = {"module": "keras.optimizers.schedules", "class_name": "InverseTimeDecay"}
SLOW, FAST = (
    {**DECAY, "config": {"initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": rate}} for rate in (0.5, 0.9)
)


@pytest.mark.parametrize(("rate", "another"), [(0.1, 0.2), (SLOW, FAST)])
def test_a_rate_that_was_set_takes_the_place_of_that_of_the_settings_alone(rate: Any, another: Any) -> None:
    one = of_rate(rate)
    one.update(call(0, 4, 8))
    assert one.base_learning_rate == one.learning_rate
    one.slow_down(0.5)  # as a rollback does, for good
    one.fix_learning_rate(0.02)
    assert (one.base_learning_rate, one.learning_rate) == pytest.approx((0.02, 0.01))
    one.fix_learning_rate(0.04)
    state = stored(one.state())
    for other, base in ((of_rate(rate), 0.04), (of_rate(another), None), (of_rate(rate, fixable=False), None)):
        other.restore(state)
        assert (other.base_learning_rate == pytest.approx(0.04)) == (base is not None)
        assert other.learning_rate == pytest.approx(other.base_learning_rate / 2)
    one.next_phase("command", 32)
    assert one.base_learning_rate == pytest.approx(0.1)
