"""Scores of tensors are means over all elements, whatever windows and calls they come in."""

from typing import Any

import numpy as np
import pytest

from learnd.daemon.evaluation.prequential import Prequential
from learnd.daemon.tasks.scoring import errors, scoring_of
from learnd.daemon.values import Float32, Task

COUNT = 60
rng = np.random.default_rng(5)
TASKS = {
    "numbers": Task("regression", 1, 1, shape=(4, 3)),
    "masks": Task("binary", 1, 1, ("0", "1"), shape=(3, 3, 1)),
    "tags": Task("classes", 5, 1, tuple("abcde"), shape=(7,)),
}


def samples(task: Task) -> tuple[Float32, Float32]:
    """Return outputs and labels that have something to do with each other."""
    noise = rng.normal(size=(COUNT, *task.output_shape))
    if task.kind == "regression":
        labels = rng.normal(3, 2, (COUNT, *task.shape))
        return (labels + 0.3 * noise).astype(np.float32), labels.astype(np.float32)
    labels = rng.integers(0, max(task.outputs, 2), (COUNT, *task.shape))
    if task.kind == "binary":
        return (1 / (1 + np.exp(1 - 2 * labels + noise))).astype(np.float32), labels.astype(np.float32)
    powers = np.exp(noise + 2 * np.eye(task.outputs)[labels])
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32), labels.astype(np.float32)


def plainly(task: Task, outputs: Any, labels: Any) -> dict[str, float]:
    """Return scores as NumPy has them."""
    outputs, labels = outputs.astype(np.float64), labels.astype(np.float64)
    if task.kind == "regression":
        squares = (outputs - labels) ** 2
        r2 = 1 - squares.sum() / ((labels - labels.mean()) ** 2).sum()
        return {"mae": np.abs(outputs - labels).mean(), "rmse": np.sqrt(squares.mean()), "r2": r2}
    if task.kind == "binary":
        said, true, given = outputs > 0.5, labels > 0.5, np.where(labels > 0.5, outputs, 1 - outputs)
        precision, recall = (said & true).sum() / said.sum(), (said & true).sum() / true.sum()
        f1 = 2 * precision * recall / (precision + recall)
        more = {"precision": precision, "recall": recall, "f1": f1}
        return {"accuracy": (said == true).mean(), "log_loss": -np.log(given).mean(), **more}
    given = np.take_along_axis(outputs, labels[..., None].astype(int), axis=-1)
    return {"accuracy": (outputs.argmax(axis=-1) == labels).mean(), "log_loss": -np.log(given).mean()}


@pytest.mark.parametrize("name", TASKS)
def test_scores_are_means_over_all_elements(name: str) -> None:
    task = TASKS[name]
    outputs, labels = samples(task)
    scored = Prequential(task, [20], None)
    for start in range(0, COUNT, 15):
        scored.add(outputs[start : start + 15], labels[start : start + 15])
    for found, rows in ((scored.overall, slice(None)), (scored.window(20), slice(-20, None))):
        expected = plainly(task, outputs[rows], labels[rows])
        assert {metric: found.scores()[metric] for metric in expected} == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_the_baseline_of_the_last_label_is_judged_alike(name: str) -> None:
    task = TASKS[name]
    outputs, labels = samples(task)
    scored = Prequential(task, [], None)
    scored.add(outputs, labels)
    found = scored.overall.baselines()["no_change"]
    if task.kind == "regression":
        assert found == pytest.approx(plainly(task, labels[:-1], labels[1:]), rel=1e-6)
    else:
        assert found["accuracy"] == pytest.approx((labels[:-1] == labels[1:]).mean())


def test_the_mean_is_of_each_place_and_the_common_class_is_of_all_places() -> None:
    numbers, tags = TASKS["numbers"], TASKS["tags"]
    _, labels = samples(numbers)
    flat = labels.reshape(COUNT, -1)
    mean = scoring_of(numbers).baselines(numbers)["running_mean"]
    np.testing.assert_allclose(mean.follow(flat)[1:], [flat[:n].mean(axis=0) for n in range(1, COUNT)], rtol=1e-5)
    classes = samples(tags)[1].astype(np.int32)
    baselines = scoring_of(tags).baselines(tags)
    counts = [np.bincount(classes[:n].ravel(), minlength=5) for n in range(COUNT)]
    leaders = [[count.argmax()] * 7 for count in counts]
    np.testing.assert_array_equal(baselines["majority"].follow(classes), leaders)
    shares = [(count[row] + 1) / (count.sum() + 5) for count, row in zip(counts, classes, strict=True)]
    np.testing.assert_allclose(baselines["priors"].follow(classes), shares, rtol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_the_error_of_a_sample_is_the_mean_over_its_elements(name: str) -> None:
    task = TASKS[name]
    outputs, labels = samples(task)
    if task.kind == "regression":
        wrong = np.abs(outputs - labels)
    else:
        wrong = (outputs > 0.5 if task.kind == "binary" else outputs.argmax(axis=-1)) != labels
    found = errors(task, outputs, labels)
    np.testing.assert_allclose(found, wrong.reshape(COUNT, -1).mean(axis=1), rtol=1e-6)
    losses = scoring_of(task).losses(outputs, labels)
    assert losses.shape == (COUNT,)
    assert (losses >= 0).all()
    outputs[3].reshape(-1)[-1] = np.nan
    assert np.flatnonzero(np.isnan(errors(task, outputs, labels))).tolist() == [3]


def test_r2_is_absent_as_long_as_no_element_differs() -> None:
    task = TASKS["numbers"]
    scored = Prequential(task, [], None)
    labels = np.full((COUNT, 4, 3), 0.1, np.float32)
    scored.add(labels + np.float32(0.5), labels)
    assert scored.overall.scores().keys() == {"mae", "rmse"}


def test_a_window_keeps_a_few_numbers_of_a_sample() -> None:
    task = Task("regression", 1, 1, shape=(100, 100))
    scored = Prequential(task, [20], None)
    labels = rng.normal(size=(20, 100, 100)).astype(np.float32)
    scored.add(labels, labels)
    kept = scored.state().part("window").arrays
    assert sum(array[0].size for array in kept.values()) < 20
