"""Class weights: factors of the weights in the loss, given or by counts of the stream, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import MIXED, X, Y, bits, call, learner

from learnd.daemon.compose import build_learner
from learnd.daemon.config.file import load_settings
from learnd.daemon.config.settings import Settings
from learnd.daemon.errors import SettingsError
from learnd.daemon.training.class_weights import ClassWeights, with_names
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.values import FEATURES, LABEL, Call, Samples, Task

BINARY = Task("binary", 1, 1, ("0", "1"))
THREE = Task("classes", 3, 1, ("a", "b", "c"))
LEARNT = Task("classes", 9, 1, learnt=True)
NAMED = replace(MIXED, targets=(replace(MIXED.targets[0], task=BINARY),))


def factors(weights: ClassWeights, labels: Any, rows: int = 1) -> Any:
    given = np.asarray(labels, np.float32).reshape(-1, rows, 1)
    samples = Samples({FEATURES: given}, {LABEL: given}, np.ones(given.shape[:2], np.float32))
    found = weights.factors(samples, len(given) + 2)
    assert found is not None
    assert found.shape == (len(given) + 2, rows)
    return found[: len(given)].ravel()


def test_given_weights_are_by_the_name_of_the_class() -> None:
    assert factors(ClassWeights({"1": 5, "0": 0.5}, BINARY), [0, 1, 1]).tolist() == [0.5, 5, 5]
    assert factors(ClassWeights({"c": 3}, THREE), [2, 0, 1, 2], rows=2).tolist() == [3, 1, 1, 3]
    assert ClassWeights(None, THREE).factors(call(0, 3, 1).batches, 3) is None


def test_balanced_ones_are_n_by_k_n_c_before_the_sample() -> None:
    """By hand, each of two classes as if it had come ten times: (n + 20) / (2 (n_c + 10))."""
    found = factors(ClassWeights("balanced", BINARY), [0, 0, 0, 1, 1, 0])
    expected = [20 / 20, 21 / 22, 22 / 24, 23 / 20, 24 / 22, 25 / 26]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_in_the_long_run_each_class_has_the_same_part() -> None:
    labels = (np.random.default_rng(2).random(100_000) < 0.02).astype(int)
    found = factors(ClassWeights("balanced", BINARY), labels)[50_000:]
    share = found[labels[50_000:] == 1].sum() / found.sum()
    assert share == pytest.approx(0.5, abs=0.03)
    assert found.mean() == pytest.approx(1, abs=0.03)


def test_of_learnt_classes_those_count_that_came() -> None:
    found = factors(ClassWeights("balanced", LEARNT), [0, 0, 1, 0, 2])
    expected = [10 / 10, 11 / 11, 22 / 20, 23 / 24, 34 / 30]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_how_the_stream_is_cut_does_not_show(cut: int) -> None:
    labels = np.random.default_rng(1).integers(0, 3, 10)
    whole, pieces = ClassWeights("balanced", THREE), ClassWeights("balanced", THREE)
    expected = factors(whole, labels)
    found = [*factors(pieces, labels[:cut]), *factors(pieces, labels[cut:])]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(pieces.counts, whole.counts)


def test_a_balanced_factor_has_a_limit() -> None:
    """By hand: (10,000,000 + 20) / (2 * 10) is 500,001."""
    weights = ClassWeights("balanced", BINARY)
    weights.restore([10_000_000, 0])
    assert factors(weights, [1]).tolist() == [1000]
    assert factors(weights, [0]).tolist() == [pytest.approx(0.5, abs=1e-5)]


def weighed(weights: Any, start: int, updates: int, rows: int, *, partial: bool = False) -> Call:
    """Return a call whose samples have these weights of their own, by class."""
    plain = call(start, updates, rows, partial=partial)
    weight = np.where(plain.batches.targets[LABEL][..., 0] > 0.5, *np.float32(weights))
    return replace(plain, batches=replace(plain.batches, weight=weight.astype(np.float32)))


@pytest.mark.parametrize(
    ("rows", "train"),
    [(1, {"xla": True}), (1, {}), (4, {"xla": True, "optimizer": "adam"}), (4, {"step": "train_on_batch"}),
     (2, {"optimizer": {"sgd": {"learning_rate": 0.05, "gradient_accumulation_steps": 3}}})],
)  # fmt: skip
def test_they_train_as_the_same_weights_of_the_samples_would(rows: int, train: dict[str, Any]) -> None:
    by_class = learner(NAMED, class_weight={"1": 5, "0": 0.5}, batch_size=rows, **train)
    by_sample = learner(NAMED, batch_size=rows, **train)
    for start in range(0, 40, 20):
        one = by_class.update(call(start * rows, 20, rows))
        other = by_sample.update(weighed((5, 0.5), start * rows, 20, rows))
        np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)
    for name, array in by_class.state().arrays.items():
        np.testing.assert_allclose(array, by_sample.state().arrays[name], rtol=2e-4, atol=1e-6, err_msg=name)


def test_they_multiply_the_weights_of_the_samples_themselves() -> None:
    by_both = learner(NAMED, class_weight={"1": 5})
    by_sample = learner(NAMED)
    one, other = by_both.update(weighed((2, 3), 0, 20, 1)), by_sample.update(weighed((10, 3), 0, 20, 1))
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5)


def test_the_metrics_of_keras_do_not_see_them() -> None:
    with_, without = (learner(NAMED, metrics=["accuracy", "auc"], optimizer={"sgd": {"learning_rate": 1e-9}}, **more)
                      for more in ({"class_weight": {"1": 50}}, {}))  # fmt: skip
    for one in (with_, without):
        one.update(call(0, 30, 1))
    assert with_.metric_results() == pytest.approx(without.metric_results(), abs=1e-4)


def fed(one: KerasLearner, cuts: list[int]) -> str:
    for start, end in pairwise(cuts):
        one.update(call(start * 3, end - start, 3))
    one.update(call(cuts[-1] * 3, 1, 2, partial=True))
    return bits(one)


def balanced() -> KerasLearner:
    return learner(NAMED, class_weight="balanced", batch_size=3)


def test_balanced_learners_do_not_depend_on_calls_and_undo_their_counts() -> None:
    expected = fed(balanced(), [0, 60])
    assert fed(balanced(), [0, 1, 31, 60]) == expected
    one = balanced()
    one.update(call(0, 20, 3))
    before = bits(one)
    one.update(call(60, 9, 3))
    one.undo()
    assert bits(one) == before
    assert fed(one, [20, 60]) == expected


def test_a_trial_of_a_refit_counts_nothing() -> None:
    one = balanced()
    one.update(call(0, 20, 3))
    before = bits(one)
    one.refit_helps(Samples({FEATURES: X[:498]}, {LABEL: Y[:498]}, np.ones(498, np.float32)))
    assert bits(one) == before


def test_balancing_that_is_switched_on_later_begins_to_count_then() -> None:
    plain = learner(NAMED, batch_size=3)
    plain.update(call(0, 20, 3))
    one = balanced()
    one.restore(plain.state())
    assert one.state().facts["class_counts"] == [0, 0]
    one.update(call(60, 10, 3))
    assert sum(one.state().facts["class_counts"]) == 30
    plain.restore(one.state())


def settings(folder: Path, weight: str, label: str = "y", task: str = "binary") -> Settings:
    path = folder / "learnd.yaml"
    path.write_text(
        f"model: {{task: {task}}}\nsource: {{files: {{path: x.jsonl}}}}\n"
        f"samples: {{features: {{a: float}}, label: {label}}}\ntrain:\n  class_weight: {weight}\n"
    )
    return load_settings(path)


def problems(tmp_path: Path, weight: str, label: str = "y", task: str = "binary") -> str:
    try:
        settings(tmp_path, weight, label, task)
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("weight", "label", "task", "words"),
    [
        ("{0: 1, 1: 5}", "y", "binary", ""),
        ("{yes: 5, no: 1}", "{field: y, values: [no, yes]}", "binary", ""),
        ("{ja: 5}", "{field: y, positive: ja}", "binary", ""),
        ("{2: 5}", "{field: y, classes: 3}", "classes", ""),
        ("balanced", "{field: y, classes: {max: 9}}", "classes", ""),
        ("{true: 5}", "{field: y, values: [false, true]}", "binary", ""),
        ("{ye: 5}", "y", "binary", "train.class_weight.ye: there is no such class: did you mean 'yes'?"),
        ("{maybe: 5}", "y", "binary", "there is no such class; there are 0, 1, no, yes, false, true"),
        ("{maybe: 5}", "{field: y, values: [false, true]}", "binary", "there is no such class; there are false, true"),
        ("{yes: 5, on: 1}", "y", "binary", "train.class_weight: yes and on are the same class, 1; keep one of them"),
        ("{nein: 5, not ja: 1}", "{field: y, positive: ja}", "binary", "nein and not ja are the same class, not ja"),
        ("{true: 5, 1: 1}", "y", "binary", "true and 1 are the same class, 1; keep one of them"),
        ("{ye: 5}", "{field: y, values: [no, yes]}", "binary", "ye: there is no such class: did you mean 'yes'?"),
        ("{cat: 5}", "{field: y, classes: {max: 9}}", "classes", "classes that are learnt have no names yet"),
        ("balanced", "y", "regression", "class_weight: a regression task has no classes to weigh"),
        ("{0: -1}", "y", "binary", "greater than 0"),
        ("{0: .inf}", "y", "binary", "class_weight"),
        ("even", "y", "binary", "balanced"),
    ],
)  # fmt: skip
def test_what_the_settings_take(tmp_path: Path, weight: str, label: str, task: str, words: str) -> None:
    found = problems(tmp_path, weight, label, task)
    assert words in found if words else found == ""


@pytest.mark.parametrize(
    ("weight", "label", "task", "expected"),
    [
        ("{yes: 5, no: 2}", "y", "binary", [2, 5]),
        ("{true: 5, false: 2}", "y", "binary", [2, 5]),
        ("{1.0: 5, off: 2}", "y", "binary", [2, 5]),
        ("{yes: 5, no: 2}", "{field: y, positive: yes}", "binary", [2, 5]),
        ("{yes: 5, not yes: 2}", "{field: y, positive: yes}", "binary", [2, 5]),
        ("{true: 5}", "{field: y, positive: true}", "binary", [1, 5]),
        ("{'true': 5, no: 2}", "{field: y, values: [false, true]}", "binary", [2, 5]),
        ("{true: 5, false: 2}", "{field: y, values: [true, false]}", "binary", [5, 2]),
        ("{2.0: 5, '1': 3}", "{field: y, classes: 3}", "classes", [1, 3, 5]),
        ("{10: 5}", "{field: y, classes: [7, 10.0, a]}", "classes", [1, 5, 1]),
    ],
)  # fmt: skip
def test_a_class_is_named_as_labels_are_read(
    tmp_path: Path, weight: str, label: str, task: str, expected: list[float]
) -> None:
    given = settings(tmp_path, weight, label, task)
    kind = given.samples.spec(task).task
    weights = ClassWeights(with_names(given.train.class_weight, kind, given.class_of), kind)
    assert factors(weights, range(len(expected))).tolist() == expected


def test_the_learner_of_settings_weighs_the_classes_that_their_words_name(tmp_path: Path) -> None:
    update = call(0, 8, 1, 1)
    assert 0 < update.batches.targets[LABEL].sum() < 8
    words, names = (build_learner(settings(tmp_path, weight)) for weight in ("{yes: 5, no: 2}", "{1: 5, 0: 2}"))
    plain = build_learner(settings(tmp_path, "{1: 1}"))
    losses = [one.update(update).loss.tolist() for one in (words, names, plain)]
    assert losses[0] == losses[1]
    assert losses[0][0] == pytest.approx(losses[2][0] * (5 if update.batches.targets[LABEL][0, 0, 0] else 2), rel=1e-5)
