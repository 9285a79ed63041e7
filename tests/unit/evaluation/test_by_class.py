"""What became of each class: the counts are those of scikit-learn's report."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from learnd.daemon.evaluation.by_class import ByClass
from learnd.daemon.evaluation.scoreboard import observe
from learnd.daemon.values import Float32, Task

COUNT = 300
NAMES = ("a", "b", "c")


def counted(task: Task, outputs: Float32, labels: Float32) -> ByClass:
    """Count in two pieces, with a prediction that is none in between."""
    outputs[100] = np.nan
    by_class = ByClass()
    for rows in (slice(120), slice(120, None)):
        by_class.add(observe(task, outputs[rows], labels[rows]))
    return by_class


@pytest.mark.parametrize(("kind", "outputs"), [("binary", 1), ("classes", 3)])
def test_one_label(kind: str, outputs: int) -> None:
    rng = np.random.default_rng(3)
    said = rng.random((COUNT, outputs)).astype(np.float32)
    labels = rng.integers(0, max(2, outputs), (COUNT, 1)).astype(np.float32)
    by_class = counted(Task(kind, outputs, 1), said, labels)
    scored = np.arange(COUNT) != 100
    predicted = (said[:, 0] > 0.5) if outputs == 1 else said.argmax(axis=1)
    truth, guesses = labels[scored, 0].astype(int), predicted[scored].astype(int)
    found = by_class.classes(NAMES.__getitem__)
    assert [one.name for one in found] == list(NAMES[: max(2, outputs)])
    expected = precision_recall_fscore_support(truth, guesses)
    got = [[one.scores["precision"], one.scores["recall"], one.scores["f1"], one.came] for one in found]
    np.testing.assert_allclose(np.array(got).T, expected)
    confusion = by_class.confusion(NAMES.__getitem__)
    matrix = [[confusion[label].get(guess, 0) for guess in confusion] for label in confusion]
    assert matrix == confusion_matrix(truth, guesses).tolist()


def test_several_labels_at_once() -> None:
    rng = np.random.default_rng(4)
    said, labels = rng.random((COUNT, 3)).astype(np.float32), (rng.random((COUNT, 3)) < 0.3).astype(np.float32)
    by_class = counted(Task("multi_label", 3, 3, NAMES), said, labels)
    scored = np.arange(COUNT) != 100
    expected = precision_recall_fscore_support(labels[scored] > 0.5, said[scored] > 0.5)
    found = by_class.classes(NAMES.__getitem__)
    got = [[one.scores["precision"], one.scores["recall"], one.scores["f1"], one.came] for one in found]
    np.testing.assert_allclose(np.array(got).T, expected)
    assert by_class.confusion(NAMES.__getitem__) == {}


def test_a_score_that_would_divide_by_nothing_is_absent() -> None:
    by_class = ByClass()
    by_class.add(observe(Task("binary", 1, 1), np.full((5, 1), 0.1, np.float32), np.ones((5, 1), np.float32)))
    no, yes = by_class.classes(str)
    assert (no.came, no.predicted, no.scores) == (0, 5, {"precision": 0.0, "f1": 0.0})
    assert (yes.came, yes.predicted, yes.scores) == (5, 0, {"recall": 0.0, "f1": 0.0})


def test_the_elements_of_a_tensor_count_each() -> None:
    rng = np.random.default_rng(5)
    said, labels = rng.random((40, 7, 3)).astype(np.float32), rng.integers(0, 3, (40, 7)).astype(np.float32)
    said[3, 2, 1] = np.nan
    by_class = ByClass(of_elements=True)
    by_class.add(observe(Task("classes", 3, 1, NAMES, shape=(7,)), said, labels))
    scored = np.arange(40) != 3
    confusion = by_class.confusion(NAMES.__getitem__)
    matrix = [[confusion[label].get(guess, 0) for guess in confusion] for label in confusion]
    expected = confusion_matrix(labels[scored].ravel().astype(int), said[scored].argmax(axis=2).ravel())
    assert matrix == expected.tolist()
