"""Who is ahead of whom, what of that is sure, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learnd.daemon.bench.advice import advice, chosen, times_text
from learnd.daemon.bench.comparison import Comparison
from learnd.daemon.bench.contestants import Maker
from learnd.daemon.bench.ran import Ran
from learnd.daemon.values import Task

SAMPLES = 4_000
BINARY, NUMBER, CLASSES = Task("binary", 1, 1), Task("regression", 1, 1), Task("classes", 3, 1)


def coins(seed: int, samples: int = SAMPLES) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(samples) < 0.5


def right(labels: NDArray[np.bool_], share: float, seed: int, *, speed: float | None = None) -> Ran:
    """Return predictions of which so many are right, by chance."""
    wrong = np.random.default_rng(seed).random(len(labels)) >= share
    seconds = 0.0 if speed is None else len(labels) / speed
    return Ran(labels ^ wrong, np.ones(len(labels), np.bool_), 0 if speed is None else len(labels), seconds)


def of(labels: NDArray[Any], task: Task = BINARY, **ran: tuple[Maker, Ran]) -> Comparison:
    return Comparison.of(task, ran, labels)


def preset(labels: NDArray[np.bool_], share: float, seed: int, speed: float) -> tuple[Maker, Ran]:
    return "learnd", right(labels, share, seed, speed=speed)


def named(labels: NDArray[np.bool_], **ran: tuple[Maker, Ran]) -> Comparison:
    """Compare contestants of which those of learnd are presets."""
    shown = {f"preset: {name}" if maker == "learnd" else name: (maker, one) for name, (maker, one) in ran.items()}
    return Comparison.of(BINARY, shown, labels)


def test_one_that_is_better_is_surely_so_and_the_order_is_by_the_score() -> None:
    labels = coins(1)
    found = of(labels, low=("river", right(labels, 0.7, 2)), high=("river", right(labels, 0.8, 3)))
    assert [one.name for one in found.entries] == ["high", "low"]
    assert [found.verdict(one) for one in found.entries] == ["best", "surely worse"]
    assert [found.surely_better(*pair) for pair in (found.entries, found.entries[::-1])] == [True, False]


def test_equally_good_ones_are_hardly_ever_told_apart() -> None:
    wrong = 0
    for seed in range(60):
        labels = coins(seed, 1_000)
        ran = {name: ("river", right(labels, 0.7, 1_000 + 10 * seed + index)) for index, name in enumerate("abcd")}
        found = Comparison.of(BINARY, ran, labels)  # type: ignore[arg-type]  # of one maker
        wrong += any(found.verdict(one) == "surely worse" for one in found.entries)
    assert wrong <= 3  # a twentieth of them, whichever leads


def test_the_more_are_compared_the_more_evidence_it_takes() -> None:
    labels = coins(1)
    ran = {name: right(labels, 0.7, index) for index, name in enumerate("abcd")}
    two, four = (of(labels, **{name: ("river", ran[name]) for name in names}) for names in ("ab", "abcd"))
    assert two.needed == pytest.approx(np.log10(2 * 2 / 0.05))  # by accuracy and by Brier score: the labels choose
    assert four.needed == pytest.approx(np.log10(2 * 12 / 0.05))
    numbers = {name: ("river", Ran(np.zeros((9, 1)), np.ones(9, np.bool_))) for name in "ab"}
    assert Comparison.of(NUMBER, numbers, np.ones((9, 1))).needed == pytest.approx(np.log10(2 / 0.05))  # type: ignore[arg-type]  # of one maker


def test_a_prediction_that_is_none_is_in_no_score_and_loses() -> None:
    labels = coins(1)
    whole = right(labels, 0.7, 2)
    some = Ran(whole.predicted, np.arange(len(labels)) % 2 == 0)
    found = of(labels, whole=("river", whole), some=("river", some))
    by_name = {one.name: one for one in found.entries}
    assert by_name["some"].unscored == SAMPLES // 2
    assert by_name["some"].scores["accuracy"] == pytest.approx(0.7, abs=0.03)
    assert found.surely_better(by_name["whole"], by_name["some"])


@pytest.mark.parametrize("task", [BINARY, NUMBER])
def test_who_stops_predicting_after_some_good_ones_is_last(task: Task) -> None:
    labels = coins(1)
    shape = labels if task is BINARY else labels[:, None].astype(np.float64)
    said = {name: right(labels, share, seed) for seed, (name, share) in enumerate({"auto": 0.9, "coin": 0.5}.items())}
    all_ = np.ones(len(labels), np.bool_)
    auto, coin = (Ran(one.predicted.reshape(shape.shape).astype(shape.dtype), all_) for one in said.values())
    some = Ran(shape, np.arange(len(labels)) < 200)
    found = of(shape, task, some=("learnd", some), auto=("learnd", auto), coin=("baseline", coin))
    assert [one.name for one in found.entries] == ["auto", "coin", "some"]
    assert found.entries[2].unscored == SAMPLES - 200
    assert [found.verdict(one) for one in found.entries] == ["best", "surely worse", "surely worse"]
    assert not found.beats_baselines(found.entries[2])
    assert advice(found).startswith("Use `auto`")


def test_the_first_sample_counts_nowhere() -> None:
    labels = np.array([True, False, False])
    found = of(labels, one=("river", Ran(np.array([False, False, True]), np.ones(3, np.bool_))))
    assert found.best.errors.tolist() == [0, 1]
    assert found.best.scores["accuracy"] == 0.5


def test_numbers_are_compared_by_their_distance_and_one_that_is_far_off_counts_once() -> None:
    rng = np.random.default_rng(1)
    labels = rng.normal(size=(SAMPLES, 1)).astype(np.float32)
    near, far = (Ran(labels + rng.normal(0, scale, labels.shape), np.ones(SAMPLES, np.bool_)) for scale in (0.1, 0.2))
    found = of(labels, NUMBER, near=("river", near), far=("river", far))
    assert (found.metric, [one.name for one in found.entries]) == ("mae", ["near", "far"])
    assert found.verdict(found.entries[1]) == "surely worse"
    assert found.best.scores["mae"] == pytest.approx(0.08, rel=0.05)

    near.predicted[7] = 1e30
    found = of(labels, NUMBER, near=("river", near), far=("river", far))
    assert found.best.name == "far"  # by the mean
    assert found.verdict(found.entries[1]) == "not told apart"


def test_classes_are_right_or_wrong_however_far_their_numbers_are() -> None:
    labels = np.array([0, 1, 2, 0], np.int32)
    found = of(labels, CLASSES, one=("river", Ran(np.array([0, 1, 0, 1], np.int32), np.ones(4, np.bool_))))
    assert found.best.errors.tolist() == [0, 1, 1]


def test_without_a_model_ahead_of_the_baselines_nothing_is_to_be_used() -> None:
    labels = coins(1)
    found = named(
        labels,
        majority=("baseline", right(labels, 0.52, 2)),
        auto=preset(labels, 0.5, 3, 1e5),
        tree=("river", right(labels, 0.5, 4)),
    )
    assert chosen(found) is None
    assert advice(found).startswith("No model is ahead of `majority`")
    assert "no model is worth what it costs" in advice(found)


def test_a_model_that_is_ahead_and_not_proven_is_named_with_what_is_lacking() -> None:
    labels = coins(1, 200)
    found = named(
        labels,
        majority=("baseline", right(labels, 0.5, 2)),
        auto=preset(labels, 0.6, 3, 1e5),
        tree=("river", right(labels, 0.63, 5)),
    )
    tree, auto, majority = found.entries
    assert (auto.name, chosen(found)) == ("preset: auto", None)
    assert 0 < found.evidence(auto, majority) < found.needed
    assert advice(found).startswith(
        "Nothing is surely better than `majority`, which looks at no feature, by 199 samples. `preset: auto` is ahead, "
        f"and only not proven: accuracy {auto.scores['accuracy']:.4g} against accuracy "
        f"{majority.scores['accuracy']:.4g}, evidence "
        f"{found.evidence(auto, majority):.2f} of the {found.needed:.2f} that make it sure. Give more samples. `tree` "
    )
    assert "worth" not in advice(found)
    assert found.best is tree


def test_the_best_is_to_be_used_and_what_is_as_good_and_faster_is_named() -> None:
    labels = coins(1)
    found = named(
        labels,
        majority=("baseline", right(labels, 0.5, 2)),
        auto=preset(labels, 0.9, 3, 1e4),
        mlp=preset(labels, 0.895, 4, 5e4),
        linear=preset(labels, 0.7, 5, 1e5),
    )
    best, second = (f"accuracy {one.scores['accuracy']:.4g}" for one in found.entries[:2])
    assert advice(found) == (
        f"Use `preset: auto`: {best}, 10,000 samples/s, 10 × the time of `preset: linear`. "
        f"`preset: mlp` ({second}) is not told apart from it and 5 × as fast."
    )


def test_where_what_is_served_predicts_otherwise_it_is_told() -> None:
    labels = coins(1)
    auto = replace(right(labels, 0.9, 3), served_otherwise=("without the last labels", "set model.lags: false"))
    found = named(labels, majority=("baseline", right(labels, 0.5, 2)), auto=("learnd", auto))
    assert advice(found).endswith(
        "`learnd predict` and exports predict without the last labels, and may score lower: where these count, set "
        "model.lags: false."
    )


def test_a_learner_of_river_that_is_better_is_told_of_with_what_it_costs() -> None:
    labels = coins(1)
    river: tuple[Maker, Ran] = ("river", right(labels, 0.95, 6, speed=1e3))
    base: tuple[Maker, Ran] = ("baseline", right(labels, 0.5, 2))
    found = named(labels, majority=base, linear=preset(labels, 0.8, 3, 1e5), forest=river)
    assert chosen(found) is not None
    assert advice(found).startswith("Use `preset: linear`")
    assert "`forest` is surely better: accuracy 0.9" in advice(found)
    assert advice(found).endswith("1,000 samples/s, 100 × the time of `preset: linear`.")

    found = named(labels, majority=base, linear=preset(labels, 0.5, 3, 1e5), forest=river)
    assert chosen(found) is None
    assert advice(found).startswith("None of learnd's models is surely better than the best baseline. `forest` is:")


def test_what_is_usually_nearer_and_now_and_then_far_off_is_not_surely_better() -> None:
    rng = np.random.default_rng(9)
    labels = rng.normal(size=(SAMPLES, 1))
    off = np.where(rng.random((SAMPLES, 1)) < 0.01, 100.0, 0.5)
    near, far = (Ran(labels + distance, np.ones(SAMPLES, np.bool_)) for distance in (off, 1.0))
    found = of(labels, NUMBER, near=("learnd", near), far=("baseline", far))
    assert found.best.name == "far"
    assert not any(found.surely_better(*pair) for pair in (found.entries, found.entries[::-1]))


def test_of_few_samples_no_model_is_called_useless() -> None:
    few = coins(1, 30)
    same = {name: right(few, 0.5, 2) for name in ("model", "majority")}
    found = Comparison.of(BINARY, {"model": ("learnd", same["model"]), "majority": ("baseline", same["majority"])}, few)
    assert "29 samples are too few to say anything" in advice(found)


def seldom(samples: int, share: float = 0.01) -> NDArray[np.bool_]:
    return np.random.default_rng(3).random(samples) < share


def saying(probability: Any, labels: NDArray[np.bool_]) -> Ran:
    """Return what predicts these probabilities of yes."""
    given = np.broadcast_to(np.float32(probability), labels.shape)
    return Ran(given > 0.5, np.ones(len(labels), np.bool_), probability=given, squares=(given - labels) ** 2.0)


def of_rare(labels: NDArray[np.bool_], probability: Any) -> Comparison:
    """Compare a model with what says no, and with what says the share."""
    never = Ran(np.zeros(len(labels), np.bool_), np.ones(len(labels), np.bool_))
    return of(
        labels,
        model=("learnd", saying(probability, labels)),
        majority=("baseline", never),
        priors=("baseline", saying(0.01, labels)),
    )


def test_where_one_class_is_rare_probabilities_are_compared() -> None:
    labels = seldom(20_000)
    suspects = labels | (np.random.default_rng(4).random(len(labels)) < 0.02)  # of these, a third are of the class
    found = of_rare(labels, np.where(suspects, 0.33, 0.0))
    assert (found.metric, [one.name for one in found.entries]) == ("brier", ["model", "priors", "majority"])
    model, priors, majority = found.entries
    assert model.scores["accuracy"] == priors.scores["accuracy"] == majority.scores["accuracy"] > 0.98
    assert found.best_baseline is priors
    assert found.beats_baselines(model)
    assert not found.surely_better(majority, priors)
    assert "Use `model`: brier 0.006" in advice(found)
    p = float(labels[1:].mean())
    assert majority.scores["brier"] == pytest.approx(p)
    assert priors.scores["brier"] == pytest.approx(p * 0.99**2 + (1 - p) * 0.01**2)
    assert priors.scores["log_loss"] == pytest.approx(-p * np.log(0.01) - (1 - p) * np.log(0.99))
    assert (priors.scores["auc"], model.scores["auc"] > 0.98) == (0.5, True)
    assert not {"log_loss", "auc"} & set(majority.scores)


def test_where_no_class_is_rare_who_predicts_no_probability_has_no_handicap() -> None:
    labels = coins(1)
    sure = right(labels, 0.8, 2)
    found = of(labels, sure=("river", sure), timid=("learnd", saying(np.where(sure.predicted, 0.6, 0.4), labels)))
    assert found.metric == "accuracy"
    assert found.evidence(*found.entries) == found.evidence(*found.entries[::-1])
    assert [found.entries[index].scores["brier"] for index in (0, 1)] == pytest.approx([0.2, 0.2], abs=0.02)


def test_a_class_that_came_a_few_times_says_nothing() -> None:
    labels = seldom(2_000)
    assert f"{labels[1:].sum()} samples of rare labels are too few" in advice(of_rare(labels, 0.02))
    assert "0 samples of rare labels" in advice(of_rare(seldom(2_000, 0.0), 0.02))
    assert "worth what it costs" in advice(of_rare(seldom(20_000), 0.02))


def test_of_a_rare_class_it_is_told_how_much_is_found() -> None:
    labels = seldom(20_000)
    found = of_rare(labels, np.where(labels & coins(1, len(labels)), 0.9, 0.01))
    scores = found.best.scores
    assert 0 < scores["recall"] < scores["precision"] == 1
    assert f", recall {scores['recall']:.2g} and precision 1." in advice(found)
    named_ones = replace(found, task=Task("binary", 1, 1, ("no", "yes")))
    assert "and precision 1 of the label yes." in advice(named_ones)
    assert "recall" not in advice(named(coins(1), auto=preset(coins(1), 0.9, 3, 1e5)))


def test_times_have_two_digits() -> None:
    assert [times_text(times) for times in (1.0, 1.44, 12.3, 228.0, 1234.0)] == ["1", "1.4", "12", "230", "1,200"]
