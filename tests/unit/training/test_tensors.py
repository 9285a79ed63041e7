"""Labels that are tensors train as in Keras: sequences of numbers and of classes, masks, and the inputs themselves."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from any_model import assert_as_keras, learner_of
from learners import bits, call

from learnd.daemon.errors import ModelError
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.runtime import keras
from learnd.daemon.values import FEATURES, LABEL, InputSpec, SampleSpec, TargetSpec, Task

COUNT, STEPS, CLASSES = 48, 6, 3
rng = np.random.default_rng(3)
SEQUENCES = rng.normal(size=(COUNT, STEPS, 2)).astype(np.float32)
IMAGES = rng.random(size=(COUNT, 6, 6, 1)).astype(np.float32)
WEIGHT = rng.choice([0.0, 0.5, 2.0], COUNT).astype(np.float32)
TAGS = np.digitize(SEQUENCES.sum(axis=2), [-0.7, 0.7]).astype(np.float32)
NEXT = np.cumsum(SEQUENCES, axis=1)[:, ::-1][:, :4]
MASKS = (IMAGES > 0.6).astype(np.float32)

FORECAST = Task("regression", 1, 1, shape=(4, 2))
TAGGING = Task("classes", CLASSES, 1, ("a", "b", "c"), shape=(STEPS,))
MASKING = Task("binary", 1, 1, ("0", "1"), shape=(6, 6, 1))
GIVING_BACK = Task("regression", 1, 1, shape=(6, 6, 1))


def spec_of(task: Task, x: Any) -> SampleSpec:
    return SampleSpec((InputSpec(FEATURES, x.shape[1:]),), (TargetSpec(LABEL, task),))


def forecaster(spec: SampleSpec, loss: Any, metrics: Any = None) -> Any:
    given = keras.Input(spec.inputs[0].shape)
    ahead = keras.layers.Reshape((4, 2))(keras.layers.Dense(8)(keras.layers.LSTM(4)(given)))
    return compiled(given, ahead, loss, metrics)


def tagger(spec: SampleSpec, loss: Any, metrics: Any = None) -> Any:
    given = keras.Input(spec.inputs[0].shape)
    hidden = keras.layers.GRU(4, return_sequences=True)(given)
    return compiled(given, keras.layers.Dense(CLASSES, activation="softmax")(hidden), loss, metrics)


def painter(spec: SampleSpec, loss: Any, metrics: Any = None) -> Any:
    given = keras.Input(spec.inputs[0].shape)
    hidden = keras.layers.Conv2D(3, 3, activation="relu", padding="same")(given)
    return compiled(given, keras.layers.Conv2D(1, 3, activation="sigmoid", padding="same")(hidden), loss, metrics)


def compiled(given: Any, outputs: Any, loss: Any, metrics: Any) -> Any:
    model = keras.Model(given, outputs)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=metrics, jit_compile=False)
    return model


def one_hot(tags: Any) -> Any:
    return np.eye(CLASSES, dtype=np.float32)[tags.astype(int)]


CASES = {
    "a forecast, mean squared error": (forecaster, "mse", FORECAST, SEQUENCES, NEXT, None),
    "a forecast, Huber": (forecaster, "huber", FORECAST, SEQUENCES, NEXT, None),
    "a forecast, a sum": (forecaster, keras.losses.MeanAbsoluteError(reduction="sum"), FORECAST, SEQUENCES, NEXT, None),
    "tags, sparse": (tagger, "sparse_categorical_crossentropy", TAGGING, SEQUENCES, TAGS, None),
    "tags, one-hot": (tagger, "categorical_crossentropy", TAGGING, SEQUENCES, TAGS, one_hot(TAGS)),
    "tags, ignoring a class": (
        tagger, keras.losses.SparseCategoricalCrossentropy(ignore_class=2), TAGGING, SEQUENCES, TAGS, None,
    ),
    "a mask, crossentropy": (painter, "binary_crossentropy", MASKING, IMAGES, MASKS, None),
    "a mask, Dice": (painter, keras.losses.Dice(), MASKING, IMAGES, MASKS, None),
    "an autoencoder, crossentropy": (painter, "binary_crossentropy", GIVING_BACK, IMAGES, IMAGES, None),
    "an autoencoder, mean absolute error": (painter, "mae", GIVING_BACK, IMAGES, IMAGES, None),
}  # fmt: skip


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["alike", "weighed"])
@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_reduced_as_in_keras(name: str, weight: Any) -> None:
    build, loss, task, x, y, given = CASES[name]
    assert_as_keras(partial(build, loss=loss), spec_of(task, x), x, y, given=given, weight=weight)


def test_a_train_step_gets_the_weights_of_samples_too() -> None:
    build = partial(tagger, loss="sparse_categorical_crossentropy")
    assert_as_keras(build, spec_of(TAGGING, SEQUENCES), SEQUENCES, TAGS, weight=WEIGHT, step="train_on_batch")


@pytest.mark.parametrize(
    ("build", "task", "x", "y", "metrics"),
    [
        (forecaster, FORECAST, SEQUENCES, NEXT, {"mae": keras.metrics.MeanAbsoluteError()}),
        (tagger, TAGGING, SEQUENCES, TAGS, {"accuracy": keras.metrics.SparseCategoricalAccuracy()}),
        (tagger, TAGGING, SEQUENCES, TAGS, {"sparse_top_k": keras.metrics.SparseTopKCategoricalAccuracy(2)}),
        (painter, MASKING, IMAGES, MASKS, {"accuracy": keras.metrics.BinaryAccuracy()}),
        (painter, MASKING, IMAGES, MASKS, {"precision": keras.metrics.Precision()}),
    ],
)
def test_keras_metrics_are_of_all_elements(build: Any, task: Task, x: Any, y: Any, metrics: dict[str, Any]) -> None:
    ((name, metric),) = metrics.items()
    given = "accuracy" if name == "accuracy" else type(metric).from_config(metric.get_config())
    one = learner_of(partial(build, loss=task_loss(task), metrics=[given]), spec_of(task, x), batch_size=4)
    report = one.update(call(0, COUNT // 4, 4, x.shape[1], x=x, y=y))
    metric.update_state(y, report.outputs[LABEL].reshape(COUNT, *task.output_shape))
    assert list(one.metric_results().values()) == [pytest.approx(float(metric.result()), rel=1e-5)]


def task_loss(task: Task) -> str:
    return KINDS[task.kind].loss


def test_a_memory_holds_tensors_and_trains_on_them() -> None:
    build = partial(tagger, loss="sparse_categorical_crossentropy")
    one = learner_of(build, spec_of(TAGGING, SEQUENCES), batch_size=4, memory={"size": 8, "per_update": 2})
    one.update(call(0, COUNT // 4, 4, STEPS, x=SEQUENCES, y=TAGS))
    assert one.memory() == {"held": {"all": 8}, "replayed": 2 * (COUNT // 4 - 1)}
    arrays = {name.rpartition("/")[2]: array for name, array in one.state().arrays.items() if "/memory/" in name}
    assert arrays[f"target_{LABEL}"].shape == (8, STEPS)
    assert arrays[f"output_{LABEL}"].shape == (8, STEPS, CLASSES)
    held = [row.tolist() for row in SEQUENCES]
    for sequence, tags in zip(arrays[f"input_{FEATURES}"], arrays[f"target_{LABEL}"], strict=True):
        np.testing.assert_array_equal(tags, TAGS[held.index(sequence.tolist())])


def test_a_model_of_another_shape_is_told_what_the_labels_need() -> None:
    spec = spec_of(Task("classes", 4, 1, shape=(STEPS,)), SEQUENCES)
    with pytest.raises(ModelError, match=r"output shape is \(None, 6, 3\), .* shape \(6,\) needs \(None, 6, 4\)"):
        learner_of(partial(tagger, loss="sparse_categorical_crossentropy"), spec)


def row_by_row(spec: SampleSpec) -> Any:
    given = keras.Input(spec.inputs[0].shape)
    return keras.Model(given, keras.layers.Dense(CLASSES, activation="softmax")(given))


@pytest.mark.parametrize("step", ["fused", "train_on_batch"])
def test_the_length_of_calls_changes_no_bit(step: str) -> None:
    digests = set()
    for length in (2, 12):
        one = learner_of(row_by_row, spec_of(TAGGING, SEQUENCES), batch_size=4, xla=step == "fused", step=step)
        for start in range(0, COUNT, 4 * length):
            one.update(call(start, length, 4, STEPS, x=SEQUENCES, y=TAGS))
        digests.add(bits(one))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("build", "loss", "task", "x", "y"),
    [
        (forecaster, "mse", FORECAST, SEQUENCES, NEXT),
        (painter, "mae", GIVING_BACK, IMAGES, IMAGES),
        (tagger, "sparse_categorical_crossentropy", TAGGING, SEQUENCES, TAGS),
    ],
)
def test_a_hedge_goes_by_the_losses_of_samples(build: Any, loss: str, task: Task, x: Any, y: Any) -> None:
    average = {"decay": 0.9, "hedge": True}
    one = learner_of(partial(build, loss=loss), spec_of(task, x), batch_size=4, average=average)
    one.update(call(0, COUNT // 4, 4, x.shape[1], x=x, y=y))
    shares = one.shares()
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert shares["weights"] != pytest.approx(0.5, abs=1e-4)
