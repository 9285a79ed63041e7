"""A model of two inputs of different dtypes and of two targets: made by hand, since settings cannot ask for one yet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learners import bits, learner
from tensors import assert_same

from learnd.daemon.errors import ModelError, StateMismatchError
from learnd.daemon.evaluation.evaluation import Evaluation
from learnd.daemon.evaluation.settings import ValidateSettings
from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.step.parts import as_keras, by_name
from learnd.daemon.values import Call, InputSpec, Report, Samples, SampleSpec, TargetSpec, Task

WORDS, SAMPLES = 20, 48
SPEC = SampleSpec(
    inputs=(InputSpec("numbers", (4,)), InputSpec("tokens", (3,), "int32")),
    targets=(TargetSpec("clicked", Task("binary", 1, 1)), TargetSpec("price", Task("regression", 2, 2), 0.25)),
)
BUILDERS = """
import keras


def build(spec, names=("numbers", "tokens"), length=3, prices=2):
    numbers, tokens = keras.Input((4,), name=names[0]), keras.Input((length,), dtype="int32", name=names[1])
    words = keras.layers.Flatten()(keras.layers.Embedding(20, 2)(tokens))
    hidden = keras.layers.Dense(6, activation="tanh")(keras.layers.Concatenate()([numbers, words]))
    clicked, price = keras.layers.Dense(1, activation="sigmoid")(hidden), keras.layers.Dense(prices)(hidden)
    return keras.Model(dict(zip(names, (numbers, tokens))), {"clicked": clicked, "price": price})


def alike(spec):
    given = {part.name: keras.Input(part.shape, name=part.name) for part in spec.inputs}
    together = keras.layers.Concatenate()([*given.values()])
    return keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(together))


def inputs_in_a_list(spec):
    model = build(spec)
    return keras.Model(model.inputs, model.output)


def other_inputs(spec):
    return build(spec, names=("numbers", "words"))


def shorter_tokens(spec):
    return build(spec, length=2)


def one_price(spec):
    return build(spec, prices=1)


def outputs_in_a_list(spec):
    model = build(spec)
    return keras.Model(model.input, model.outputs)


def named_outputs_in_a_list(spec):
    model = build(spec)
    outputs = [keras.layers.Identity(name=name)(model.output[name]) for name in ("price", "clicked")]
    return keras.Model(model.input, outputs)


class Subclass(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.words, self.flat = keras.layers.Embedding(20, 2), keras.layers.Flatten()
        self.last = {name: keras.layers.Dense(number) for name, number in units.items()}

    def call(self, inputs):
        both = keras.ops.concatenate([inputs["numbers"], self.flat(self.words(inputs["tokens"]))], axis=1)
        return {name: layer(both) for name, layer in self.last.items()}


def subclass(spec):
    return Subclass({"clicked": 1, "price": 2})


def subclass_of_others(spec):
    return Subclass({"clicked": 1, "cost": 2})


def compiled(spec, optimizer="adam", **more):
    model = build(spec)
    loss = {"clicked": "mean_squared_error", "price": "mean_absolute_error"}
    model.compile(optimizer, loss, jit_compile=False, **more)
    return model


def compiled_with_weights(spec):
    # not Adam: of a word that comes twice in a batch, Keras squares both gradients apart
    return compiled(spec, "sgd", loss_weights={"clicked": 3.0, "price": 0.5}, metrics={"clicked": ["mae"]})
"""


@pytest.fixture(autouse=True)
def builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the build functions where the learner finds them."""
    (tmp_path / "several_models.py").write_text(BUILDERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("several_models", None)


def samples(count: int = SAMPLES) -> Samples:
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(count, 4)).astype(np.float32)
    tokens = rng.integers(0, WORDS, (count, 3)).astype(np.int32)
    clicked = (numbers[:, :1] + (tokens[:, :1] > 9) > 0.5).astype(np.float32)
    price = np.stack([numbers[:, 1] * 2, tokens[:, 1] / WORDS], axis=1).astype(np.float32)
    weight = rng.choice([0.5, 1, 2], count).astype(np.float32)
    return Samples({"numbers": numbers, "tokens": tokens}, {"clicked": clicked, "price": price}, weight)


def call(some: Samples, rows: int = 4, first: int = 0) -> Call:
    batches = some.in_batches(len(some) // rows, rows)
    return Call(spans=(), batches=batches, held=some[:0], partial=False, records=len(some), first=first)


def several(build: str = "build", **train: Any) -> KerasLearner:
    given: dict[str, Any] = {"batch_size": 4, "optimizer": {"sgd": {"learning_rate": 0.05}}, **train}
    return learner(SPEC, {"build": f"several_models:{build}"}, {"sigma": None}, **given)


STEPS = pytest.mark.parametrize(
    "train", [{}, {"xla": True}, {"step": "train_on_batch"}], ids=["fused", "fused with XLA", "train_on_batch"]
)


@STEPS
def test_it_trains_as_a_plain_loop_on_the_weighed_sum_of_the_losses(train: dict[str, Any]) -> None:
    one, expected = several(**train), plain_loop(several().model, samples())
    report = one.update(call(samples()))
    np.testing.assert_allclose(report.loss, expected.loss, rtol=1e-5, atol=1e-6)
    assert set(report.outputs) == {"clicked", "price"}
    for name, output in expected.outputs.items():
        np.testing.assert_allclose(report.outputs[name], output, rtol=1e-5, atol=1e-6)
    after = one.predict(samples().inputs)
    for name, output in one.model(samples().inputs, training=False).items():
        np.testing.assert_allclose(after[name], output, rtol=1e-5, atol=1e-6)
    for name in report.outputs:
        assert not np.allclose(after[name], report.outputs[name].reshape(after[name].shape))


def plain_loop(model: Any, some: Samples, rows: int = 4) -> Report:
    """Return what one would get by hand: predictions before each update, and the loss that it descends."""
    import keras
    import tensorflow as tf

    optimizer, losses, outputs = keras.optimizers.SGD(0.05), [], []
    for start in range(0, len(some), rows):
        part = some[start : start + rows]
        with tf.GradientTape() as tape:
            found = model(part.inputs, training=True)
            of_clicked = keras.losses.binary_crossentropy(part.targets["clicked"], found["clicked"])
            of_price = keras.losses.mean_squared_error(part.targets["price"], found["price"])
            loss = tf.reduce_mean(of_clicked * part.weight) + 0.25 * tf.reduce_mean(of_price * part.weight)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        losses.append(float(loss))
        outputs.append({name: output.numpy() for name, output in found.items()})
    stacked = {name: np.stack([output[name] for output in outputs]) for name in outputs[0]}
    none = np.zeros(len(losses), np.float32)
    return Report(stacked, np.array(losses, np.float32), none, none.astype(np.uint8))


@STEPS
def test_how_the_stream_is_cut_into_calls_does_not_show(train: dict[str, Any]) -> None:
    whole, parts = several(**train), several(**train)
    report = whole.update(call(samples()))
    reports = [parts.update(call(samples()[start:end], first=start)) for start, end in ((0, 4), (4, 24), (24, 48))]
    assert bits(parts) == bits(whole)
    joined = Report.joined(reports)
    assert {name: array.tobytes() for name, array in joined.outputs.items()} == {
        name: array.tobytes() for name, array in report.outputs.items()
    }
    assert joined.loss.tobytes() == report.loss.tobytes()


@pytest.mark.parametrize("train", [{}, {"step": "train_on_batch"}], ids=["fused", "train_on_batch"])
def test_a_restored_one_goes_on_to_the_last_bit(train: dict[str, Any]) -> None:
    one, other = several(**train), several(**train)
    one.update(call(samples()[:24]))
    state = one.state()
    other.restore(state)
    assert other.state() == state
    for each in (one, other):
        each.update(call(samples()[24:], first=24))
    assert bits(one) == bits(other)
    one.undo()
    assert one.state() == state


def test_a_state_of_other_shapes_is_refused_and_changes_nothing() -> None:
    one = several()
    before, state = bits(one), several().state()
    name = next(name for name in state.arrays if "embedding" in name)
    state.arrays[name] = state.arrays[name][:-1]
    with pytest.raises(StateMismatchError, match=name):
        one.restore(state)
    assert bits(one) == before


def test_a_partial_batch_trains_too() -> None:
    one, other = several(), several()
    last = samples()[:3].in_batches(1, 3)
    one.update(Call(spans=(), batches=last, held=samples()[:0], partial=True, records=3))
    plain = plain_loop(other.model, samples()[:3], rows=3)
    assert plain.loss.shape == (1,)
    for ours, theirs in zip(one.model.variables, other.model.variables, strict=True):
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-5, atol=1e-6)


def test_the_order_in_which_tensors_are_named_does_not_count() -> None:
    one, other, some = several(), several(), samples()
    turned = Samples(dict(reversed(some.inputs.items())), dict(reversed(some.targets.items())), some.weight)
    one.update(call(some))
    other.update(call(turned))
    assert bits(one) == bits(other)


@pytest.mark.parametrize("build", ["inputs_in_a_list", "named_outputs_in_a_list", "subclass"])
def test_inputs_in_a_list_and_subclasses_are_matched_by_name(build: str) -> None:
    one = several(build)
    report = one.update(call(samples()))
    assert {name: output.shape for name, output in report.outputs.items()} == {
        "clicked": (12, 4, 1),
        "price": (12, 4, 2),
    }
    assert np.isfinite(report.loss).all()


@pytest.mark.parametrize("build", ["build", "inputs_in_a_list", "named_outputs_in_a_list"])
def test_a_hedge_has_one_pair_of_shares_and_an_export_with_the_same_names(build: str, tmp_path: Path) -> None:
    import keras

    one, some = several(build, average={"decay": 0.9, "hedge": True}), samples()
    one.update(call(some))
    assert 0 < min(one.shares().values()) < 0.5
    assert one.export(tmp_path / "m.keras") == []
    opened = keras.saving.load_model(tmp_path / "m.keras")
    found = by_name(opened(as_keras(some.inputs)), opened, SPEC)
    for name, output in one.predict(some.inputs).items():
        np.testing.assert_allclose(found[name], output, rtol=1e-5, atol=1e-6)


def test_a_compiled_model_brings_a_loss_for_each_target() -> None:
    report = several("compiled").update(call(samples()))
    some = samples()[:4]
    clicked, price = report.outputs["clicked"][0], report.outputs["price"][0]
    of_clicked = ((clicked - some.targets["clicked"]) ** 2).mean(axis=1)
    of_price = np.abs(price - some.targets["price"]).mean(axis=1)
    expected = (of_clicked * some.weight).mean() + 0.25 * (of_price * some.weight).mean()
    np.testing.assert_allclose(report.loss[0], expected, rtol=1e-5)


def test_a_model_compiled_with_several_losses_trains_as_in_keras() -> None:
    import several_models

    spec = SampleSpec(SPEC.inputs, tuple(TargetSpec(target.name, target.task) for target in SPEC.targets))
    model = {"build": "several_models:compiled_with_weights"}
    one, some = learner(spec, model, {"sigma": None}, batch_size=4), samples()
    theirs = several_models.compiled_with_weights(spec)
    theirs.set_weights(one.model.get_weights())
    report = one.update(call(some))
    losses = []
    for start in range(0, SAMPLES, 4):
        part = some[start : start + 4]
        weights = dict.fromkeys(part.targets, part.weight)
        losses.append(theirs.train_on_batch(part.inputs, part.targets, weights)[0])
    np.testing.assert_allclose(report.loss, losses, rtol=1e-5)
    for mine, other in zip(one.model.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
    assert set(one.metric_results()) == {"mae"}


def test_a_loss_of_the_settings_holds_for_every_target() -> None:
    report = several(loss="mean_squared_error").update(call(samples()))
    some = samples()[:4]
    means = {
        name: (((report.outputs[name][0] - labels) ** 2).mean(axis=1) * some.weight).mean()
        for name, labels in some.targets.items()
    }
    np.testing.assert_allclose(report.loss[0], means["clicked"] + 0.25 * means["price"], rtol=1e-5)


def test_metrics_measure_the_first_target() -> None:
    one = several(metrics=["mean_squared_error"])
    report = one.update(call(samples()))
    some = samples()
    errors = (report.outputs["clicked"].reshape(-1, 1) - some.targets["clicked"]) ** 2
    expected = np.average(errors[:, 0], weights=some.weight)
    assert one.metric_results() == {"mean_squared_error": pytest.approx(expected, rel=1e-5)}


@pytest.mark.parametrize(
    ("build", "told"),
    [
        ("other_inputs", "its inputs are numbers, words, and the samples have numbers, tokens"),
        ("shorter_tokens", r"input shape of tokens is \(None, 2\), and the samples need \(None, 3\): int32"),
        ("one_price", r"output shape of price is \(None, 1\), and the task regression needs \(None, 2\)"),
        ("outputs_in_a_list", "2 outputs named dense_1, dense_2, and the samples need 2: clicked, price"),
        ("subclass_of_others", "2 outputs named clicked, cost, and the samples need 2: clicked, price"),
    ],
)
def test_a_model_of_other_tensors_is_refused_by_their_names(build: str, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        several(build)


def test_each_target_is_scored_under_its_name() -> None:
    settings = ValidateSettings.model_validate(
        {"prequential": {"windows": [16], "every": 24}, "holdout": {"share": 0.1, "size": 8, "every": 48}}
    )
    one, evaluation, some = several(), Evaluation(settings, SPEC), samples()
    reports = [one.update(call(some[:40]))]
    held = Call((), some[:40].in_batches(10, 4), some[40:], partial=False, records=48)
    events, _ = evaluation.update(held, reports[0], one)
    reports.append(one.update(call(some[40:], first=40)))
    events += evaluation.update(call(some[40:], first=40), reports[1], one)[0]
    scores = [event for event in events if event.kind == "score"]
    published = [(event.data["set"], event.data["window"], event.data["target"], event.samples) for event in scores]
    assert published == [
        (set_, window, target, at)
        for set_, windows, at in (("prequential", ("all", 16), 24), ("prequential", ("all", 16), 48))
        for target in ("clicked", "price")
        for window in windows
    ] + [("holdout", "all", target, 48) for target in ("clicked", "price")]
    scores = evaluation.scores()
    assert {"clicked.accuracy", "price.mae"} <= set(scores)
    predicted = Report.joined(reports).outputs["price"].reshape(len(some), -1)
    wrong = np.abs(predicted - some.targets["price"])
    assert scores["price.mae"] == pytest.approx(wrong.mean(), rel=1e-5)
    assert {"clicked.accuracy", "price.mae"} <= set(evaluation.holdout_scores())

    again = Evaluation(settings, SPEC)
    again.restore(evaluation.state())
    assert again.state() == evaluation.state()
    assert again.scores() == scores


def test_held_out_samples_keep_their_dtypes() -> None:
    settings = ValidateSettings.model_validate({"holdout": {"share": 0.1, "size": 8, "every": 48}})
    one, evaluation, some = several(), Evaluation(settings, SPEC), samples()
    nothing = Call((), some[:0].in_batches(0, 4), some[:6], partial=False, records=6)
    evaluation.update(nothing, one.update(nothing), one)
    assert_same(Samples.of_named(evaluation.state().part("held").arrays), some[:6])


def test_inputs_of_one_shape_that_changed_places_are_no_state_of_each_other() -> None:
    import several_models

    def spec_of(*names: str) -> SampleSpec:
        return SampleSpec(tuple(InputSpec(name, (4,)) for name in names), SPEC.targets[:1])

    one, other = (learner(spec_of(*names), {"build": "several_models:alike"}) for names in ("pq", "qp"))
    with pytest.raises(
        StateMismatchError, match="the inputs or outputs, their shapes, their vocabularies or their order differ"
    ):
        other.restore(one.state())
    assert several_models.alike
