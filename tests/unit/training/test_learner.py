"""The learner: exact however updates are grouped, untouched by an update that is not finite, restored to the bit."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from any_model import learner_of
from learners import BINARY, MIXED, NUMBERS, X, Y, call, learner

from learnd.daemon.errors import ModelError, SettingsError, StateMismatchError
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.losses import TargetLoss
from learnd.daemon.training.optimizers import Optimizing
from learnd.daemon.training.runtime import configure, keras, tf
from learnd.daemon.training.settings import ModelSettings, TrainSettings
from learnd.daemon.training.step.fused import Updates
from learnd.daemon.training.step.parts import Parts
from learnd.daemon.values import (
    FEATURES,
    LABEL,
    Column,
    ColumnKind,
    InputSpec,
    Report,
    Samples,
    SampleSpec,
    Skip,
    State,
    TargetSpec,
    Task,
)


def feed(one: KerasLearner, updates: int, rows: int = 1, **kwargs: Any) -> Report:
    """Run so many updates from the first sample on, in calls that the learner takes."""
    parts = []
    for start in range(0, updates, one.max_updates):
        count = min(one.max_updates, updates - start)
        parts.append(one.update(call(start * rows, count, rows, **kwargs)))
    return Report.joined(parts)


def variables(one: KerasLearner) -> str:
    """Return a digest of the values of all variables."""
    return State(one.state().arrays).digest()


def outputs(report: Report) -> Any:
    return report.outputs[LABEL]


def predicted(one: KerasLearner, x: Any) -> Any:
    return one.predict({FEATURES: x})[LABEL]


def after(schedule: list[int], one: KerasLearner, rows: int) -> tuple[str, Any]:
    done, found = 0, []
    for updates in schedule:
        found.append(outputs(one.update(call(done, updates, rows))).ravel())
        done += updates * rows
    one.update(call(done, 1, 3, partial=True))
    return variables(one), np.concatenate(found)


@pytest.mark.parametrize(
    ("rows", "model", "train"),
    [
        (1, {}, {"xla": True}),
        (4, {"dropout": 0.2}, {"optimizer": "adam", "metrics": ["auc"], "xla": True}),
        (1, {"dropout": 0.2}, {"optimizer": "adam", "metrics": ["auc"]}),
        (4, {"preset": "linear"}, {"optimizer": {"nadam": {"learning_rate": 0.01, "clipnorm": 1.0}}}),
    ],
)
def test_the_bits_do_not_depend_on_how_updates_are_grouped(
    rows: int, model: dict[str, Any], train: dict[str, Any]
) -> None:
    one = learner(model=model, batch_size=rows, max_updates_per_call=128, **train)
    start, results = one.state(), []
    for schedule in ([120], [1] * 5 + [40, 7, 68], [60, 60]):
        one.restore(start)
        results.append(after(schedule, one, rows))
    assert len({digest for digest, _ in results}) == 1
    for _, found in results[1:]:
        np.testing.assert_array_equal(found, results[0][1])


def test_many_updates_a_call_predict_what_one_by_one_steps_do() -> None:
    """Against a plain GradientTape step in graph mode, over 10,000 updates of one sample, by the largest logit."""
    stream = np.random.default_rng(0)
    x = stream.normal(size=(10_000, 20)).astype(np.float32)
    y = (x @ stream.normal(size=20) > 0).astype(np.float32)[:, None]

    def build() -> tuple[Any, Any]:
        configure(threads=1, seed=7, loops_as_kernels=True)
        relu = {"activation": "relu"}
        layers = [
            keras.Input((20,)),
            keras.layers.Dense(64, **relu),
            keras.layers.Dense(32, **relu),
            keras.layers.Dense(1),
        ]
        model = keras.Sequential(layers)
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    model, optimizer = build()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            output = model(x, training=True)
            value = loss(y, output)
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return output

    single = np.array([step(x[i : i + 1], y[i : i + 1]).numpy().item() for i in range(len(x))])
    spec = SampleSpec.of_columns([Column(f"x{i}", ColumnKind.NUMBER) for i in range(20)], BINARY)
    model, optimizer = build()
    parts = Parts(
        model,
        Optimizing(optimizer, optimizer.learning_rate, 1e-3, None),
        {
            LABEL: TargetLoss(loss, 1.0, tf.identity, tf.identity)
        },  # takes the outputs as they are: no sigmoid is put on them
        [],
        None,
        spec,
        infer=model,
        ensemble=None,
        averages=None,
        hedge=None,
        replay=None,
        head_start=None,
        by_own_step=False,
        kept=dict,
        weighs_classes=False,
    )
    fused = Updates(parts, {}, xla=True)
    batches = Samples({FEATURES: x}, {LABEL: y}, np.ones(10_000, np.float32)).in_batches(10_000, 1)
    rates = np.full(2501, 1e-3, np.float32)
    many = [fused(batches[i : i + 2500], rates, 2500).outputs[LABEL].ravel() for i in range(0, len(x), 2500)]
    assert np.abs(np.concatenate(many) - single).max() < 1e-4
    assert np.abs(single).max() > 10  # it has learned something


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("train", [{"xla": True}, {"optimizer": "adam"}, {"step": "train_on_batch"}])
def test_an_update_that_is_not_finite_leaves_every_variable_as_it_was(bad: float, train: dict[str, Any]) -> None:
    x = X.copy()
    x[7, 2] = bad
    one = learner(NUMBERS, batch_size=2, **train)
    one.update(call(0, 3, 2, 4))
    before = variables(one)
    report = one.update(call(6, 1, 2, 4, x=x))
    assert report.skipped.tolist() == [Skip.NON_FINITE]
    assert variables(one) == before
    report = one.update(call(8, 2, 2, 4))
    assert report.skipped.tolist() == [Skip.NONE, Skip.NONE]
    assert all(np.isfinite(array).all() for array in one.state().arrays.values())


def test_good_updates_around_a_bad_one_train_as_if_it_were_not_there() -> None:
    x, y = X.copy(), Y.copy()
    x[5] = np.nan
    with_bad, without = learner(NUMBERS, optimizer="adam"), learner(NUMBERS, optimizer="adam")
    with_bad.update(call(0, 10, 1, 4, x=x))
    without.update(call(0, 9, 1, 4, x=np.delete(x, 5, 0), y=np.delete(y, 5, 0)))
    assert variables(with_bad) == variables(without)


@pytest.mark.parametrize("train", [{"optimizer": "adam"}, {"xla": True}, {"step": "train_on_batch"}])
def test_a_restored_learner_goes_on_to_the_bit(train: dict[str, Any]) -> None:
    model = {"dropout": 0.3}
    whole, half = learner(model=model, **train), learner(model=model, **train)
    whole.update(call(0, 20, 1))
    half.update(call(0, 20, 1))
    state = half.state()
    whole.update(call(20, 20, 1))
    resumed = learner(model=model, **train)
    resumed.restore(state)
    resumed.update(call(20, 20, 1))
    assert variables(resumed) == variables(whole)


def test_a_state_is_a_copy() -> None:
    one = learner()
    state = one.state()
    before = state.clone()
    one.update(call(0, 5, 1))
    assert state == before != one.state()


@pytest.mark.parametrize(
    ("model", "train", "told"),
    [
        ({"hidden": [8]}, {}, "hidden_0/kernel"),
        ({}, {"optimizer": "adam"}, "adam"),
        ({"standardize": False}, {}, "standardize"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(model: dict[str, Any], train: dict[str, Any], told: str) -> None:
    state = learner().state()
    other = learner(model=model, **train)
    before = variables(other)
    with pytest.raises(StateMismatchError, match=told):
        other.restore(state)
    assert variables(other) == before


def test_a_learning_rate_that_the_settings_change_holds_after_a_restore() -> None:
    state = learner(optimizer={"sgd": {"learning_rate": 0.5}}).state()
    changed = learner(optimizer={"sgd": {"learning_rate": 0.25}})
    changed.restore(state)
    assert changed.learning_rate == 0.25
    slowed = learner(optimizer={"sgd": {"learning_rate": 0.5}})
    slowed.slow_down(0.25)
    changed.restore(slowed.state())
    assert changed.learning_rate == 0.0625


def test_weights_scale_the_loss_and_zero_weighs_nothing() -> None:
    one, other = learner(NUMBERS, batch_size=2), learner(NUMBERS, batch_size=2)
    weighted = call(0, 1, 2, 4)
    weighted.batches.weight[0] = [2.0, 0.0]
    doubled = call(0, 1, 2, 4)
    doubled.batches.weight[0] = [1.0, 0.0]
    assert one.update(weighted).loss[0] == pytest.approx(2 * other.update(doubled).loss[0], rel=1e-6)


@pytest.mark.parametrize(
    ("task", "y"),
    [
        (Task("classes", 3, 1, ("a", "b", "c")), np.arange(12_000).reshape(-1, 1) % 3),
        (Task("regression", 2, 2), np.stack([X[:, 0], X[:, 1]], axis=1)),
        (Task("multi_label", 2, 2, ("a", "b")), (X[:, :2] > 3)),
    ],
)
def test_every_task_trains(task: Task, y: Any) -> None:
    spec = SampleSpec.of_columns(MIXED.columns, task)
    one = learner(spec, batch_size=4)
    report = feed(one, 600, 4, y=y.astype(np.float32))
    assert outputs(report).shape == (600, 4, task.outputs)
    assert report.loss[-100:].mean() < report.loss[:100].mean()
    if task.kind == "classes":
        np.testing.assert_allclose(outputs(report).sum(axis=-1), 1, rtol=1e-5)


def test_a_prediction_is_made_without_dropout() -> None:
    one = learner(model={"dropout": 0.5})
    feed(one, 50)
    expected = predicted(one, X[50:51])
    np.testing.assert_allclose(outputs(one.update(call(50, 1, 1))).ravel(), expected.ravel(), rtol=1e-5)


def test_logits_are_reported_as_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_models.py").write_text(
        "import keras\ndef build(spec):\n"
        "    return keras.Sequential([keras.Input((spec.width,)), keras.layers.Dense(1)])\n"
    )
    monkeypatch.chdir(tmp_path)
    one = learner(model={"build": "my_models:build"}, loss={"binary_crossentropy": {"from_logits": True}})
    found = outputs(feed(one, 300))
    assert found.min() > 0
    assert found.max() < 1
    assert predicted(one, X[:9]).min() > 0
    assert predicted(one, X[:9]).max() < 1


SUBCLASS = """
import keras
class Own(keras.Model):
    def call(self, x):
        {}
def build():
    return Own()
"""

SHAPELESS = """
import tensorflow as tf
from keras import *
def build():
    shapeless = layers.Lambda(lambda x: tf.py_function(lambda y: y, [x], tf.float32), output_shape=(5,))
    return Sequential([Input((5,)), shapeless, layers.Dense(1)])
"""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def build(spec):\n    raise RuntimeError('no luck')\n", "no luck"),
        ("def build():\n    return 7\n", "must return a keras.Model"),
        ("from keras import *\ndef build():\n    return Sequential([Input((3,)), layers.Dense(1)])\n", "input shape"),
        ("from keras import *\ndef build(s):\n    return Sequential([Input((s.width,)), layers.Dense(2)])\n", "output"),
        (SUBCLASS.format("return x, x"), "one output"),
        (SUBCLASS.format("raise ValueError('no call')"), "no call"),
        (SHAPELESS, "does not compile: .*TensorShape"),
        ("def other():\n    pass\n", "has no function"),
        ("import a_module_that_is_missing\n", "a_module_that_is_missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_build_function_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, told: str
) -> None:
    (tmp_path / "broken_models.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_models", raising=False)
    with pytest.raises(ModelError, match=told):
        learner(model={"build": "broken_models:build"}).compile()


def test_a_name_that_keras_does_not_know_is_suggested() -> None:
    with pytest.raises(SettingsError, match="did you mean adam"):
        learner(optimizer="adamm")
    with pytest.raises(SettingsError, match=r"train\.loss"):
        learner(loss="no_such_loss")


def test_a_subclass_of_a_keras_model_trains_without_shapes_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subclassed_models.py").write_text(
        "import keras\n"
        "class Small(keras.Model):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.last = keras.layers.Dense(1, activation='sigmoid')\n"
        "    def call(self, x):\n"
        "        return self.last(x)\n"
        "def build():\n"
        "    return Small()\n"
    )
    monkeypatch.chdir(tmp_path)
    one = learner(model={"build": "subclassed_models:build"})
    assert feed(one, 40).gradient_norm.min() > 0


def test_a_schedule_of_the_learning_rate_leaves_the_settings_as_they_were() -> None:
    schedule = {
        "module": "keras.optimizers.schedules",
        "class_name": "ExponentialDecay",
        "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
    }
    settings = TrainSettings.model_validate({"optimizer": {"sgd": {"learning_rate": schedule}}, "xla": False})
    one = KerasLearner(ModelSettings(), settings, MIXED)
    one.update(call(0, 40, 1))
    assert one.learning_rate == pytest.approx(0.1 * 0.5**4)
    assert settings.model_dump(mode="json")["optimizer"] == {"sgd": {"learning_rate": schedule}}


@pytest.mark.parametrize(
    ("rows", "given", "mode"), [(1, None, "kernel by kernel"), (40, None, "graph mode"), (40, True, "kernel by kernel")]
)
def test_large_convolutions_run_in_graph_mode_unless_xla_is_asked_for(rows: int, given: bool | None, mode: str) -> None:
    def build(_: SampleSpec) -> Any:
        image = keras.Input((16, 16, 1))
        pixels = keras.layers.Flatten()(keras.layers.Conv2D(8, 3)(image))  # 196 * 9 * 8 = 14,112 multiplications
        return keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pixels))

    spec = SampleSpec((InputSpec(FEATURES, (16, 16, 1)),), (TargetSpec(LABEL, BINARY),))
    one = learner_of(build, spec, batch_size=rows, xla=given)
    one.compile()
    assert one._steps.mode == mode
    other = learner_of(build, spec, batch_size=rows, xla=None)
    other.restore(one.state())
    assert other._steps.mode == mode  # whatever it would be by itself


def test_a_model_that_xla_cannot_compile_runs_in_graph_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "graph_models.py").write_text(
        "import keras, tensorflow as tf\n"
        "class Unique(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x + tf.strings.to_number(tf.strings.as_string(x)) * 0\n"
        "def build(spec):\n"
        "    last = keras.layers.Dense(1, activation='sigmoid')\n"
        "    return keras.Sequential([keras.Input((spec.width,)), Unique(), last])\n"
    )
    monkeypatch.chdir(tmp_path)
    one = learner(model={"build": "graph_models:build"}, xla=None)
    assert np.isfinite(feed(one, 40).loss).all()
    with pytest.raises(ModelError, match="does not compile with XLA"):
        learner(model={"build": "graph_models:build"}, xla=True).compile()


def test_a_saved_model_is_a_start(tmp_path: Path) -> None:
    first = learner()
    feed(first, 200)
    first.export(tmp_path / "base.keras")
    second = learner(model={"load": tmp_path / "base.keras"})
    np.testing.assert_allclose(predicted(second, X[:50]), predicted(first, X[:50]), rtol=1e-5)
    with pytest.raises(ModelError, match="cannot be opened"):
        learner(model={"load": tmp_path / "missing.keras"})


def test_three_lengths_serve_every_call() -> None:
    one = learner(batch_size=2, max_updates_per_call=4096, xla=True)
    assert one.traces == 0
    for updates in (1, 2, 31, 32, 33, 500, 4096):
        one.update(call(0, updates, 2))
    for rows in (1, 1, 1):
        one.update(call(0, 1, rows, partial=True))
    assert one.traces == 3  # a short one and a long one of full batches, and partial ones
    other = learner(batch_size=2, max_updates_per_call=4096, xla=True)
    other.restore(one.state())
    assert other.traces == 0  # what only predicts or exports has nothing compiled


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_a_metric_that_makes_its_variables_at_its_first_update_is_restored(train: dict[str, Any]) -> None:
    one, other = (learner(metrics=["r2_score", "accuracy"], **train) for _ in range(2))
    feed(one, 40)
    other.restore(one.state())
    for each in (one, other):
        feed(each, 20)
    assert one.metric_results()["r2_score"] == other.metric_results()["r2_score"] != 0
    assert variables(one) == variables(other)


def test_a_metric_that_does_not_fit_the_task_is_said() -> None:
    with pytest.raises(SettingsError, match=r"train\.metrics: .*does not fit the task"):
        learner(metrics=[{"mean_io_u": {"num_classes": 2, "sparse_y_pred": False}}], batch_size=1)
    with pytest.raises(SettingsError, match=r"train\.metrics: f1_score gives several values"):
        learner(metrics=["f1_score"])


@pytest.mark.parametrize(("rows", "xla"), [(1, True), (32, False)])
def test_the_bits_do_not_depend_on_the_longest_call(rows: int, xla: bool) -> None:
    results = set()
    for longest in (1, 2, 33):
        one = learner(batch_size=rows, max_updates_per_call=longest, xla=xla)
        feed(one, 70, rows)
        results.add(variables(one))
    assert len(results) == 1


def test_a_journaled_call_may_be_longer_than_calls_are_now() -> None:
    whole, split = learner(max_updates_per_call=64), learner(max_updates_per_call=3)
    expected, report = whole.update(call(0, 50, 1)), split.update(call(0, 50, 1))
    np.testing.assert_array_equal(outputs(report), outputs(expected))
    assert variables(split) == variables(whole)


def test_a_partial_batch_does_not_depend_on_the_sizes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "normal_models.py").write_text(
        "import keras\n"
        "def build(spec):\n"
        "    hidden = keras.layers.Dense(8, activation='relu')\n"
        "    last = keras.layers.Dense(1, activation='sigmoid')\n"
        "    return keras.Sequential([keras.Input((spec.width,)), hidden, keras.layers.BatchNormalization(), last])\n"
    )
    monkeypatch.chdir(tmp_path)
    model, results = {"build": "normal_models:build"}, set()
    state = learner(model=model, optimizer="adam", batch_size=16).state()
    for history in ([], [7], [3, 9, 5]):
        one = learner(model=model, optimizer="adam", batch_size=16)
        for size in history:
            one.update(call(0, 1, size, partial=True))
        one.restore(state)
        for start in range(0, 200, 5):
            one.update(call(start, 1, 5, partial=True))
        results.add(variables(one))
    assert len(results) == 1


def test_a_variable_that_no_checkpoint_would_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stray_models.py").write_text(
        "import keras\n"
        "class Noise(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return x + keras.random.normal((1, 1)) * 0.01\n"
        "def build(spec):\n"
        "    last = keras.layers.Dense(1, activation='sigmoid')\n"
        "    return keras.Sequential([keras.Input((spec.width,)), Noise(), last])\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no checkpoint would hold them"):
        learner(model={"build": "stray_models:build"}).compile()


def test_graph_mode_goes_on_in_graph_mode() -> None:
    state = learner().state()
    again, whole = learner(xla=None), learner()
    again.restore(state)
    for one in (again, whole):
        feed(one, 20)
    assert variables(again) == variables(whole)
    state = learner(xla=None).state()
    other = learner()
    other.restore(state)
    with pytest.raises(StateMismatchError, match="trained with XLA"):
        other.compile()


def test_a_guard_may_be_switched_on_and_off_on_a_state() -> None:
    guarded, free = learner(), learner(guard={"sigma": None})
    for one in (guarded, free):
        feed(one, 40)
    without, with_one = learner(guard={"sigma": None}), learner()
    without.restore(guarded.state())
    with_one.restore(free.state())
    for one in (guarded, free, without, with_one):
        feed(one, 40)
    model = [
        {name: array for name, array in one.state().arrays.items() if not name.startswith("guard")}
        for one in (guarded, without, free, with_one)
    ]
    assert len({State(arrays).digest() for arrays in model}) == 1
    assert variables(without) == variables(free)
    assert with_one.state().arrays["guard/0000/statistics"][0, 0] == 40


def test_a_state_that_is_refused_leaves_the_guard_as_it_was() -> None:
    one = learner()
    feed(one, 40)
    before = one.state()
    with pytest.raises(StateMismatchError, match="hidden_0/kernel"):
        one.restore(learner(model={"hidden": [8]}, guard={"sigma": None}).state())
    assert one.state() == before
    assert before.arrays["guard/0000/statistics"][0, 0] == 40


def test_features_in_another_order_are_another_model() -> None:
    state = learner(NUMBERS).state()
    with pytest.raises(StateMismatchError, match="their order differ"):
        learner(SampleSpec.of_columns(NUMBERS.columns[::-1], BINARY)).restore(state)


def test_values_in_another_order_are_another_model() -> None:
    site = Column("site", ColumnKind.CATEGORY, 3, ("a", "b"))
    sites = SampleSpec.of_columns((site,), Task("classes", 2, 1, ("low", "high")))
    state = learner(sites).state()
    turned = replace(site, values=("b", "a"))
    with pytest.raises(StateMismatchError, match=r"samples\.features: the features, their values or their order"):
        learner(SampleSpec.of_columns((turned,), sites.task)).restore(state)
    with pytest.raises(StateMismatchError, match=r"samples\.label: the classes, the values or their order differ"):
        learner(SampleSpec.of_columns((site,), replace(sites.task, names=("high", "low")))).restore(state)


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}])
def test_keras_metrics_see_each_prediction_before_its_update(train: dict[str, Any]) -> None:
    one = learner(metrics=["accuracy", {"binary_accuracy": {"name": "again", "threshold": 0.5}}], **train)
    found = outputs(feed(one, 60)).ravel()
    accuracy = float(np.mean((found > 0.5) == (Y[:60, 0] > 0.5)))
    assert one.metric_results() == pytest.approx({"binary_accuracy": accuracy, "again": accuracy})


@pytest.mark.parametrize("build", ["silent", "narrow"])
def test_a_model_whose_own_step_is_not_as_keras_has_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str
) -> None:
    (tmp_path / "own_models.py").write_text(
        "import keras\n"
        "class Silent(keras.Sequential):\n"
        "    def train_step(self, data):\n"
        "        return {'error': super().train_step(data)['loss']}\n"
        "class Narrow(keras.Sequential):\n"
        "    def compile(self, optimizer):\n"
        "        super().compile(optimizer=optimizer, loss='mse')\n"
        "def silent(spec):\n"
        "    return Silent([keras.Input((spec.width,)), keras.layers.Dense(1, activation='sigmoid')])\n"
        "def narrow(spec):\n"
        "    return Narrow([keras.Input((spec.width,)), keras.layers.Dense(1, activation='sigmoid')])\n"
    )
    monkeypatch.chdir(tmp_path)
    told = {"silent": r"returns error, but no loss", "narrow": r"its compile\(\) does not take"}[build]
    with pytest.raises(ModelError, match=told):
        feed(learner(model={"build": f"own_models:{build}"}, step="train_on_batch"), 1)


@pytest.mark.parametrize(
    ("model", "train", "told"),
    [
        ({"activation": "foo"}, {}, "foo"),
        ({}, {"optimizer": {"loss_scale_optimizer": {"inner_optimizer": "adam"}}}, "train.optimizer"),
    ],
)
def test_what_cannot_work_is_said_before_anything_trains(
    model: dict[str, Any], train: dict[str, Any], told: str
) -> None:
    with pytest.raises((ModelError, SettingsError), match=told):
        learner(model=model, **train)
