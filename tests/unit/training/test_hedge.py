"""`train.average.hedge`: predictions with the weights and with their averages, mixed by how good they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import KINDS, NUMBERS, VALUE, X, Y, assert_cuts_and_undo_leave_no_trace, bits, call, learner

from learnd.daemon.errors import ModelError
from learnd.daemon.training.hedge import shift, surprise
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.losses import label_scale
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import FEATURES, LABEL, SampleSpec, Skip

AVERAGE = {"decay": 0.9, "hedge": True}


def plain(spec: SampleSpec = NUMBERS, **train: Any) -> KerasLearner:
    return learner(spec, {"hidden": [6], "task": spec.task.kind}, {"sigma": None}, **train)


def hedged(spec: SampleSpec = NUMBERS, **train: Any) -> KerasLearner:
    return plain(spec, average=AVERAGE, **train)


def labels(spec: SampleSpec) -> Any:
    """Return labels of a kind for the samples X."""
    return {"binary": Y, "classes": X[:, 4:] % 4, "regression": 100 * X[:, :1]}[spec.task.kind]


def said_next(one: KerasLearner) -> Any:
    """Return what is predicted for sample 64, within an update and without one."""
    given = call(64, 1, 1, 4)
    served = one.predict(given.batches[0].inputs)[LABEL]
    np.testing.assert_allclose(one.update(given).outputs[LABEL][0], served, rtol=1e-5)
    return served


def losses(spec: SampleSpec, predicted: Any, label: Any) -> Any:
    """Return the cross entropy of predictions (B, C) for labels (B, 1); of a regression the squared error."""
    if spec.task.kind == "regression":
        return np.square(predicted - label).mean(axis=1)
    if spec.task.kind == "classes":
        return -np.log(np.take_along_axis(predicted, label.astype(int), axis=1)[:, 0])
    return -np.log(np.where(label == 1, predicted, 1 - predicted)[:, 0])


@pytest.mark.parametrize("spec", [NUMBERS, KINDS, VALUE], ids=lambda spec: spec.task.kind)
def test_shares_are_what_the_formula_says_and_mix_what_both_say(spec: SampleSpec) -> None:
    rows = 2
    one, raw, averages = (
        plain(spec, average=average, batch_size=rows) for average in (AVERAGE, None, {**AVERAGE, "hedge": False})
    )
    shares, (least, count) = np.array([0.5, 0.5]), (0.0, 0)
    for update in range(60):
        given = call(update * rows, 1, rows, spec.width, y=labels(spec))
        average = averages.predict(given.batches[0].inputs)[LABEL]
        mixed, alone, _ = (each.update(given).outputs[LABEL][0] for each in (one, raw, averages))
        np.testing.assert_allclose(mixed, shares[0] * alone + shares[1] * average, rtol=1e-3, atol=1e-5)
        scale, label = label_scale(one.model), given.batches[0].targets[LABEL]
        in_unit = np.array if scale is None else scale.scaled
        each = np.stack([losses(spec, in_unit(of), in_unit(label)) for of in (alone, average)], axis=1)
        if spec.task.kind == "regression":
            least += max(1 / (count + 1), 0.001) * (each.min(axis=1).mean() - least)
            count += 1
            each = 0.5 * each / (2 * least)
        shares = shares * np.exp(-0.5 * np.minimum(each, 20).sum(axis=0))
        shares = 0.999 * shares / shares.sum() + 0.0005
        np.testing.assert_allclose(list(one.shares().values()), shares, rtol=2e-3, atol=2e-4)
    assert [*one.shares()] == ["weights", "averages"]
    assert max(shares) > 0.51


def test_a_model_trains_as_without_it_and_reports_the_losses_of_its_weights() -> None:
    one, other = hedged(), plain()
    reports = [each.update(call(0, 32, 1, 4)) for each in (one, other)]
    np.testing.assert_array_equal(reports[0].loss, reports[1].loss)
    for mine, its in zip(one.model.trainable_variables, other.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())


def test_what_is_served_is_predicted_as_in_the_stream() -> None:
    one = hedged()
    one.update(call(0, 64, 1, 4))
    assert one.served_otherwise is None
    said_next(one)


@pytest.mark.parametrize("spec", [NUMBERS, KINDS, VALUE], ids=lambda spec: spec.task.kind)
def test_an_export_is_one_model_of_built_in_layers_that_predicts_the_same(spec: SampleSpec, tmp_path: Path) -> None:
    one = hedged(spec)
    one.update(call(0, 64, 1, spec.width, y=labels(spec)))
    before, rows = bits(one), X[100:140, : spec.width]
    assert one.export(tmp_path / "m.keras") == []
    assert bits(one) == before
    opened = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(opened(rows), one.predict({FEATURES: rows})[LABEL], rtol=1e-4, atol=1e-5)


def test_neither_the_cuts_of_calls_nor_what_is_taken_back_shows() -> None:
    assert_cuts_and_undo_leave_no_trace(hedged)


def test_a_skipped_update_moves_no_share() -> None:
    one, x = hedged(), X.copy()
    one.update(call(0, 10, 1, 4))
    before = one.shares()
    x[10, 1] = np.inf
    assert one.update(call(10, 1, 1, 4, x=x)).skipped.tolist() == [Skip.NON_FINITE]
    assert one.shares() == before


def shifted(losses: Any, weight: Any) -> Any:
    shares = keras.Variable([0.5, 0.5])
    shift(shares, np.array(losses, np.float32), np.array(weight, np.float32))
    return shares.numpy()


def test_no_sample_moves_shares_further_than_a_loss_of_20() -> None:
    """Whatever its weight, as that of a rare class may be."""
    np.testing.assert_array_equal(shifted([[3, 0]], [1000]), shifted([[20, 0]], [1]))
    np.testing.assert_array_equal(shifted([[40, 0]], [0.5]), shifted([[20, 0]], [1]))
    both = shifted([[3, 0], [0, 3]], [1000, 1])
    np.testing.assert_array_equal(both, shifted([[17, 0]], [1]))


def test_what_is_no_number_counts_as_the_largest_loss() -> None:
    for nothing in (np.nan, np.inf):
        np.testing.assert_array_equal(shifted([[nothing, 1]], [1]), shifted([[20, 1]], [1]))
        least = keras.Variable([2.0, 3.0])
        found = surprise(least, tf.constant([[nothing, 6.0]])).numpy()
        np.testing.assert_allclose(least.numpy(), [3, 4])
        assert found[0, 0] > 20
        np.testing.assert_allclose(found[0, 1], 0.5 * 6 / (2 * 3))


def test_logits_are_mixed_as_they_are(tmp_path: Path) -> None:
    layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    one = learner_of(
        lambda _: keras.Sequential([keras.Input((4,)), *layers]),
        NUMBERS,
        average=AVERAGE,
        loss={"binary_crossentropy": {"from_logits": True}},
    )
    one.update(call(0, 64, 1, 4))
    one.export(tmp_path / "m.keras")
    logits = np.asarray(keras.saving.load_model(tmp_path / "m.keras")(call(64, 1, 1, 4).batches[0].inputs[FEATURES]))
    assert logits.shape == (1, 1)
    np.testing.assert_allclose(said_next(one), 1 / (1 + np.exp(-logits)), rtol=1e-5)


@keras.saving.register_keras_serializable("tests")
class OfOwnCall(keras.Model):  # type: ignore[misc]  # keras is untyped
    """A model that is no graph of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(ModelError, match=r"train\.average\.hedge: an export holds the model twice.*a call of its own"):
        learner_of(lambda _: OfOwnCall(), NUMBERS, average=AVERAGE)
