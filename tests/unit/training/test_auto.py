"""`preset: auto` against its formulas in NumPy, and what a mixture owes to the stream alone."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import BINARY, MIXED, NUMBERS, X, Y, bits, call, learner
from scipy.special import expit, softmax

from learnd.daemon.errors import ModelError
from learnd.daemon.training.layers import RunningLabelScale
from learnd.daemon.training.networks import AveragedNetwork, LastLabels, Mixture, SoftBins
from learnd.daemon.training.recipe import recipe_of
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import FEATURES, LABEL, Column, ColumnKind, Samples, SampleSpec, Skip, Task

TASKS = {
    "binary": BINARY,
    "classes": Task("classes", 4, 1),
    "regression": Task("regression", 1, 1),
    "multi_label": Task("multi_label", 2, 2, ("a", "b")),
    "two numbers": Task("regression", 2, 2),
}
SPECS = {name: SampleSpec.of_columns(NUMBERS.columns, task) for name, task in TASKS.items()}
OF_CLASSES = np.minimum(np.abs(X[:, :1]).astype(int) % 4, 3).astype(np.float32)
TARGETS = {
    "binary": Y,
    "classes": OF_CLASSES,
    "regression": 1000 + 50 * X[:, :1] * X[:, 1:2],
    "multi_label": np.concatenate([Y, 1 - Y * (X[:, 2:3] > 3)], axis=1),
    "two numbers": X[:, :2] * 1000 + X[:, 2:3],
}


def mixed(name: str, **train: Any) -> Any:
    model = {"preset": "auto", "task": SPECS[name].task.kind, "lags": train.pop("lags", True)}
    return learner(SPECS[name], model, **train)


def of(name: str, start: int, updates: int, rows: int) -> Any:
    return call(start, updates, rows, SPECS[name].width, y=TARGETS[name])


def values(one: Any) -> dict[str, Any]:
    """Return what the layers of the mixture keep, by layer and name."""
    kinds = (AveragedNetwork, LastLabels, Mixture, RunningLabelScale)
    layers = [layer for layer in one.model.layers if isinstance(layer, kinds)]
    return {f"{layer.name}/{v.name}": np.array(v.numpy(), np.float64) for layer in layers for v in layer.variables}


def said(kept: dict[str, Any], seen: Any, name: str, prefix: str) -> Any:
    """Return what a network gives for what it sees (B, inputs)."""
    weights = {key.partition("/")[2]: value for key, value in kept.items() if key.startswith(f"{name}/")}
    found, last = seen, sum(key.startswith("kernel") for key in weights) - 1
    for number in range(last):
        found = relu(found @ weights[f"{prefix}kernel_{number}"] + weights[f"{prefix}bias_{number}"])
    found = found @ weights[f"{prefix}kernel_{last}"] + weights[f"{prefix}bias_{last}"]
    return found + seen @ weights[f"{prefix}linear"]


def relu(x: Any) -> Any:
    return np.maximum(x, 0)


def bins_of(z: Any, bins: int) -> Any:
    middle = np.arange(bins)[None, :, None]
    return relu(1 - np.abs((bins - 1) * expit(1.702 * z)[:, None, :] - middle)).reshape(len(z), -1)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", SPECS)
def test_an_update_is_what_the_formulas_say(name: str, rows: int) -> None:
    """From the variables before an update, and the weights after it, all else follows."""
    one = mixed(name, batch_size=rows)
    encoded = keras.Model(one.model.input, one.model.get_layer("encoded_and_lags").input[0])
    link = {"binary": expit, "multi_label": expit, "classes": softmax_of_last}.get(name, lambda x: x)
    start = 40 * rows
    one.update(of(name, 0, 40, rows))
    for update in range(3):
        given = of(name, start + update * rows, 1, rows)
        before, inputs = values(one), given.batches[0].inputs[FEATURES]
        reported = one.update(given).outputs[LABEL][0].astype(np.float64)
        after, labels = values(one), given.batches[0].targets[LABEL].astype(np.float64)
        z = np.asarray(encoded(inputs), np.float64)  # the statistics know these inputs, in the update and here
        lags = np.tile(before["last_labels/averages"].reshape(1, -1), (rows, 1))
        seen = {"columns": np.hstack([z, bins_of(z, 8)]), "lags": np.hstack([z, lags])}
        members = [said(before, seen[each], each, prefix) for each in seen for prefix in ("", "average_")]
        if "label_scale/mean" in before:
            members = [np.zeros_like(members[0]), *members]  # the mean of the labels
        prob = np.stack([link(member) for member in members], axis=1)
        expected = np.einsum("m,bmc->bc", before["mixture/shares"], prob)
        if "label_scale/mean" in before:
            expected = expected * np.sqrt(before["label_scale/variance"]) + before["label_scale/mean"]
            labels = (labels - after["label_scale/mean"]) / np.sqrt(after["label_scale/variance"])
        np.testing.assert_allclose(reported, expected, rtol=2e-4, atol=1e-5)
        losses = losses_of(name, np.stack(members, axis=1), prob, labels, after)
        np.testing.assert_allclose(after["mixture/shares"], shares(before["mixture/shares"], losses), rtol=2e-3)
        for key in after:
            if "/average_" in key:
                moved = before[key] + (1 - kept(before, key)) * (after[key.replace("average_", "")] - before[key])
                np.testing.assert_allclose(after[key], moved, rtol=1e-4, atol=1e-6)
        averages = before["last_labels/averages"]
        for label in as_seen(name, labels):
            fades = np.array([[0.0], [0.5], [0.9], [0.98]])
            averages = fades * averages + (1 - fades) * label
        np.testing.assert_allclose(after["last_labels/averages"], averages, rtol=1e-4, atol=1e-5)


def softmax_of_last(x: Any) -> Any:
    return softmax(x, axis=-1)


def kept(before: dict[str, Any], key: str) -> float:
    layer = key.partition("/")[0]
    updates = before[f"{layer}/updates"] + 1
    return float(min(0.99 if layer == "lags" else 0.997, updates / (updates + 9)))


def losses_of(name: str, members: Any, prob: Any, labels: Any, after: dict[str, Any]) -> Any:
    """Return the loss of each member for each sample, (B, members)."""
    if name == "classes":
        return -np.log(np.take_along_axis(prob, labels.astype(int)[:, :, None], axis=2)[..., 0])
    if name in ("binary", "multi_label"):
        y = labels[:, None, :]
        return -(y * np.log(prob) + (1 - y) * np.log(1 - prob)).mean(axis=2)
    errors = ((members - labels[:, None, :]) ** 2).mean(axis=2)
    return 0.5 * errors / (2 * after["mixture/least"][0])


def shares(before: Any, losses: Any) -> Any:
    new = before * np.exp(-0.5 * np.minimum(losses, 20).sum(axis=0))
    return 0.999 * new / new.sum() + 0.001 / len(new)


def as_seen(name: str, labels: Any) -> Any:
    if name == "classes":
        return np.eye(4)[labels[:, 0].astype(int)]
    return 2 * labels - 1 if name in ("binary", "multi_label") else np.clip(labels, -10, 10)


@pytest.mark.parametrize("rows", [1, 4])
def test_the_number_of_updates_a_call_does_not_matter(rows: int) -> None:
    ends = []
    for cuts in ([0, 60], [0, 1, 2, 31, 60]):
        one = mixed("classes", batch_size=rows, class_weight="balanced")
        for start, end in pairwise(cuts):
            one.update(of("classes", start * rows, end - start, rows))
        ends.append(bits(one))
    assert ends[0] == ends[1]


def test_a_skipped_update_leaves_averages_shares_and_last_labels_alone() -> None:
    one, x = mixed("binary"), X.copy()
    x[50, 1] = np.inf
    one.update(of("binary", 0, 50, 1))
    before = values(one)
    assert one.update(call(50, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    after = values(one)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_a_prediction_outside_of_the_stream_knows_no_last_label_and_changes_nothing() -> None:
    one = mixed("binary")
    one.update(of("binary", 0, 60, 1))
    rows, before = {FEATURES: X[100:110, :4]}, bits(one)
    predicted = one.predict(rows)[LABEL]
    assert bits(one) == before
    one.model.get_layer("last_labels").averages.assign(np.ones((4, 1), np.float32))
    np.testing.assert_array_equal(one.predict(rows)[LABEL], predicted)


def test_without_lags_the_report_is_what_is_predicted() -> None:
    one = learner(NUMBERS, {"preset": "auto", "lags": False, "standardize": False})
    one.update(call(0, 30, 1, 4))
    given = call(30, 1, 1, 4)
    before = one.predict(given.batches[0].inputs)[LABEL]
    np.testing.assert_allclose(one.update(given).outputs[LABEL][0], before, rtol=1e-5)
    assert not any(layer.name == "last_labels" for layer in one.model.layers)
    assert one.served_otherwise is None


def test_a_mixture_says_what_each_member_counts() -> None:
    one = mixed("binary")
    one.update(of("binary", 0, 60, 1))
    found = one.shares()
    assert list(found) == ["columns", "columns_average", "lags", "lags_average"]
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    assert learner().shares() == {}


def test_a_frozen_network_stays_while_the_others_learn() -> None:
    one = learner(MIXED, {"preset": "auto"}, phases=[{"freeze": "columns"}])
    before = values(one)
    one.update(call(0, 20, 1))
    after = values(one)
    moved = {name.partition("/")[0] for name in before if (after[name] != before[name]).any() and "kernel" in name}
    assert moved == {"lags"}


def test_a_moment_reset_keeps_the_averages() -> None:
    one = mixed("binary")
    one.update(of("binary", 0, 30, 1))
    before = values(one)
    one.reset_moments()
    after = values(one)
    assert all((after[name] == value).all() for name, value in before.items())


def test_runs_of_labels_are_learnt_by_the_last_ones() -> None:
    """Labels in runs of 40 which the features say nothing of: to repeat the last one is right 39 times of 40."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3000, 4)).astype(np.float32)
    y = np.repeat(rng.random(75) < 0.5, 40).astype(np.float32)[:, None]
    one, right = mixed("binary"), []
    for start in range(0, 3000, 32):
        updates = min(32, 3000 - start)
        given = call(start, updates, 1, 4, x=x, y=y)
        right += ((one.update(given).outputs[LABEL].ravel() > 0.5) == (y[start : start + updates, 0] > 0.5)).tolist()
    assert np.mean(right[1000:]) > 0.96


@pytest.mark.parametrize(("columns", "bins"), [(1, 8), (16, 8), (17, 4), (64, 4), (65, 0)])
def test_there_are_fewer_bins_for_more_columns(columns: int, bins: int) -> None:
    numbers = [Column(f"x{n}", ColumnKind.NUMBER) for n in range(columns)]
    assert recipe_of(ModelSettings(preset="auto"), SampleSpec.of_columns(numbers, BINARY)).bins == bins


@pytest.mark.parametrize(("classes", "lags"), [(20, True), (21, False)])
def test_of_many_classes_no_network_sees_the_last_labels(classes: int, lags: bool) -> None:
    spec = SampleSpec.of_columns(NUMBERS.columns, Task("classes", classes, 1))
    assert recipe_of(ModelSettings(preset="auto"), spec).lags is lags
    assert not recipe_of(ModelSettings(preset="auto", lags=False), spec).lags


def test_columns_of_two_values_and_categories_get_no_bins() -> None:
    columns = [
        Column("yes", ColumnKind.NUMBER, two_values=True),
        Column("a", ColumnKind.NUMBER),
        Column("kind", ColumnKind.CATEGORY, 5),
    ]
    assert recipe_of(ModelSettings(preset="auto"), SampleSpec.of_columns(columns, BINARY)).binned == (1,)
    one = learner(SampleSpec.of_columns(columns, BINARY), {"preset": "auto"})
    assert one.model.get_layer("bins").columns == 1


@pytest.mark.parametrize("name", SPECS)
def test_an_export_gives_what_is_predicted_and_has_no_last_labels(name: str, tmp_path: Path) -> None:
    one = mixed(name)
    one.update(of(name, 0, 60, 1))
    assert one.export(tmp_path / "m.keras") == []
    plain = keras.saving.load_model(tmp_path / "m.keras")
    rows = X[200:240, : SPECS[name].width]
    np.testing.assert_allclose(plain(rows), one.predict({FEATURES: rows})[LABEL], rtol=1e-4, atol=1e-5)
    assert not any(layer.name in ("last_labels", "lags") for layer in plain.layers)


def test_its_own_step_is_refused_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="take preset: mlp"):
        mixed("binary", step="train_on_batch")


def test_keys_of_one_network_have_no_meaning() -> None:
    with pytest.raises(ValueError, match="hidden has no meaning for preset: auto"):
        ModelSettings(preset="auto", hidden=[3])


def test_soft_bins_are_tents_that_add_up_to_one() -> None:
    layer = SoftBins(8)
    z = np.linspace(-3, 3, 41, dtype=np.float32)[:, None]
    found = np.asarray(layer(z))
    np.testing.assert_allclose(found, bins_of(z.astype(np.float64), 8), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_weights_of_samples_scale_what_the_shares_learn() -> None:
    one, other = mixed("binary"), mixed("binary")
    given = of("binary", 0, 20, 1)
    nothing = Samples(given.batches.inputs, given.batches.targets, np.zeros((20, 1), np.float32))
    one.update(given)
    other.update(type(given)((), nothing, given.held, partial=False, records=20))
    assert max(one.shares().values()) > 0.26
    np.testing.assert_allclose(list(other.shares().values()), 1 / 4, rtol=1e-5)


def test_averages_of_an_optimizer_beside_those_of_the_mixture_are_refused() -> None:
    with pytest.raises(ModelError, match="use_ema: a mixture has averages of its own"):
        mixed("binary", optimizer={"adam": {"use_ema": True}})
