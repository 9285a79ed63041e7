"""Exported models, opened in a process that has Keras and no learnd: they give what the daemon's model gives."""

from __future__ import annotations

import importlib.util
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import plain_keras
import pytest
from processes import ROOT

from learnd.daemon.compose import build_learner
from learnd.daemon.config.file import load_settings
from learnd.daemon.training.layers import RunningStandardization, StreamLayer, TakeColumns, centred
from learnd.daemon.training.models import create_model
from learnd.daemon.training.plain import write_plain
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import Column, ColumnKind, SampleSpec, Task

NUMBER, CATEGORY = ColumnKind.NUMBER, ColumnKind.CATEGORY
TASKS = [
    Task("binary", 1, 1),
    Task("classes", 3, 1, ("a", "b", "c")),
    Task("multi_label", 2, 2, ("x", "y")),
    Task("regression", 1, 1),
]
ORDERS = {
    "numbers": [NUMBER] * 3,
    "categories": [CATEGORY] * 2,
    "numbers-first": [NUMBER, NUMBER, CATEGORY],
    "mixed": [NUMBER, CATEGORY, NUMBER, NUMBER, CATEGORY, NUMBER],
}
# The export of the model with several inputs and outputs is opened by its own README, which the tests run.
EXAMPLES = sorted({path.parent.name for path in (ROOT / "examples").glob("*/learnd.yaml")} - {"several"})


def inputs(kinds: list[ColumnKind], rows: int = 64) -> Any:
    """Return samples, (rows, columns): indices below 9, and numbers of all sizes with a few far out."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(1, 2, (rows, len(kinds))) * 10.0 ** rng.integers(-3, 5, len(kinds))
    numbers[:3] *= 1e3
    indices = rng.integers(0, 9, (rows, len(kinds)))
    return np.where(np.array(kinds) == CATEGORY, indices, numbers).astype(np.float32)


def preset(preset: str, task: Task, kinds: list[ColumnKind], **further: Any) -> Any:
    columns = [Column(f"c{index}", kind, 9 * (kind == CATEGORY)) for index, kind in enumerate(kinds)]
    settings = ModelSettings(preset=preset, task=task.kind, **further)
    return create_model(settings, SampleSpec.of_columns(columns, task))


def sequential() -> Any:
    layers = [TakeColumns([2, 0, 1]), RunningStandardization(limit=3), keras.layers.Dense(4), keras.layers.Dropout(0.5)]
    return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1, activation="sigmoid")])


def nested_and_shared() -> Any:
    given = keras.Input((4,))
    standardize = RunningStandardization(name="both")
    branch = keras.Sequential([RunningStandardization(), keras.layers.Dense(3, activation="tanh")], name="branch")
    inner = keras.Input((2,))
    functional = keras.Model(inner, keras.layers.Dense(2)(RunningStandardization()(inner)), name="functional")
    left, right = TakeColumns([0, 1])(given), TakeColumns([3, 2])(given)
    parts = [standardize(left), standardize(right), branch(given), functional(left), given[:, 1:3] * 2]
    return keras.Model(given, keras.layers.Dense(1)(keras.layers.Concatenate()(parts)))


class OwnStep(keras.Model):  # type: ignore[misc]
    """A functional model whose class no other process knows."""

    def train_step(self, data: Any) -> Any:
        raise NotImplementedError


def own_train_step() -> Any:
    given = keras.Input((3,))
    return OwnStep(given, keras.layers.Dense(1)(RunningStandardization()(given)))


def own_loss(label: Any, output: Any) -> Any:
    return tf.square(label - output)


def compiled() -> Any:
    model = sequential()
    model.compile(optimizer="adam", loss=own_loss)
    return model


def large_offset() -> Any:
    """A time in seconds since 1970: float32 holds every 128th second."""
    return keras.Sequential([keras.Input((1,)), RunningStandardization(), keras.layers.Dense(1, use_bias=False)])


def example(name: str) -> Any:
    """Return the model of an example's settings, which may need what the example's own script makes."""
    folder = ROOT / "examples" / name
    settings = load_settings(folder / "learnd.yaml")
    if settings.model.load is not None:
        spec = importlib.util.spec_from_file_location("digits", folder / "digits.py")
        assert spec is not None
        assert spec.loader is not None
        digits = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(digits)
        digits.network().save("base.keras")
        settings = load_settings(folder / "learnd.yaml", ["model.load=base.keras"])
    return build_learner(settings).model


def rows_of(model: Any) -> Any:
    shape = model.inputs[0].shape[1:]
    rows = np.abs(inputs([NUMBER] * math.prod(shape))) % 4  # an index is one of these numbers
    return rows.reshape(-1, *shape)


def cases() -> Iterator[tuple[str, Callable[[], Any], Any]]:
    """Yield the name of each model, what makes it, and its inputs: None for those that any number fits."""
    for kind, task, order in itertools.product(("linear", "mlp"), TASKS, ORDERS):
        yield f"{kind}-{task.kind}-{order}", partial(preset, kind, task, ORDERS[order]), inputs(ORDERS[order])
    for task in TASKS:
        yield f"auto-{task.kind}-mixed", partial(preset, "auto", task, ORDERS["mixed"]), inputs(ORDERS["mixed"])
    bare = partial(preset, "mlp", TASKS[0], ORDERS["mixed"], standardize=False, dropout=0.2)
    yield "not-standardized", bare, inputs(ORDERS["mixed"])
    for make, width in ((sequential, 3), (nested_and_shared, 4), (own_train_step, 3), (compiled, 3)):
        yield make.__name__, make, inputs([NUMBER] * width)
    seconds = 1.7e9 + 60 * np.arange(6000)[:, None]
    yield "large_offset", large_offset, seconds.astype(np.float32)[::20]
    for name in EXAMPLES:
        yield f"example-{name}", partial(example, name), None


CASES = [name for name, _, _ in cases()]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, list[str]]]:
    """Export every model, and open all of them in one process. Return where, what each gave before, and its needs."""
    folder, before, needs = tmp_path_factory.mktemp("exports"), {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("base"))
        for name, make, given in cases():
            keras.utils.clear_session()
            model = make()
            rows = rows_of(model) if given is None else given
            for start in range(0, len(rows), 32):
                model(rows[start : start + 32], training=True)  # the statistics become those of a stream
            before[name] = np.asarray(model(rows, training=False))
            needs[name] = write_plain(model, folder / f"{name}.keras")
            np.save(folder / f"{name}.in.npy", rows)
            np.testing.assert_array_equal(np.asarray(model(rows, training=False)), before[name])
    plain_keras.open_all(plain_keras.environment(folder / "environment"), folder)
    return folder, before, needs


@pytest.mark.parametrize("name", CASES)
def test_an_export_opens_without_learnd_and_gives_the_same(name: str, exported: Any) -> None:
    folder, before, needs = exported
    error = folder / f"{name}.error"
    assert not error.exists(), error.read_text()
    assert needs[name] == []
    np.testing.assert_allclose(np.load(folder / f"{name}.out.npy"), before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("offset", "unit"), [(1.7e9, 60.0), (101_325.0, 50.0), (0.0, 1e-6), (-3e-4, 1e-5)])
def test_a_frozen_standardisation_keeps_every_digit(offset: float, unit: float) -> None:
    """What is left of a value after its mean is gone has all digits, whatever the offset and the unit."""
    rows = (offset + unit * np.random.default_rng(0).normal(size=(4000, 1))).astype(np.float32)
    layer = RunningStandardization()
    layer.build((None, 1))
    for start in range(0, len(rows), 100):
        layer(rows[start : start + 100], training=True)
    chain = keras.Sequential([keras.Input((1,)), *layer.frozen()])
    np.testing.assert_allclose(np.asarray(chain(rows)), np.asarray(layer(rows)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mean", [1.7e9 + 12_345.678, 1 / 3, -(2.0**40) - 0.25, 0.0])
def test_a_mean_keeps_the_digits_that_one_float32_cannot_hold(mean: float) -> None:
    rows = (mean + np.random.default_rng(0).normal(0, 1000, (500, 1))).astype(np.float32)
    chain = keras.Sequential([keras.Input((1,)), *centred(np.array([mean]), "float32")])
    np.testing.assert_allclose(np.asarray(chain(rows)), rows.astype(np.float64) - mean, rtol=1e-6)


class Subclassed(keras.Model):  # type: ignore[misc]
    """A model that only its own code can call."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**{"name": "subclassed", **config})
        self.standardize = RunningStandardization(name="standardize")
        self.last = keras.layers.Dense(1, name="last")

    def call(self, given: Any, training: bool = False) -> Any:
        return self.last(self.standardize(given, training=training))


class OwnCall(keras.Model):  # type: ignore[misc]
    """A model whose layers are a graph, which it does not follow."""

    def call(self, given: Any, *args: Any, **kwargs: Any) -> Any:
        return super().call(given, *args, **kwargs) + 1


def test_what_cannot_be_made_plain_is_written_as_it_is_and_says_what_it_needs(tmp_path: Path) -> None:
    model = Subclassed()
    rows = inputs([NUMBER] * 3)
    model(rows, training=True)
    model.compile(loss=own_loss)
    needs = write_plain(model, tmp_path / "m.keras")
    assert [need.partition(" (")[0] for need in needs] == ["subclassed", "standardize"]
    assert "learnd.daemon.training.layers.RunningStandardization" in needs[1]
    assert model.compiled
    opened = keras.saving.load_model(tmp_path / "m.keras", custom_objects={"Subclassed": Subclassed})
    assert not opened.compiled
    np.testing.assert_allclose(np.asarray(opened(rows)), np.asarray(model(rows)), rtol=1e-6)


class OwnSequence(keras.Sequential):  # type: ignore[misc]
    """The same of a sequence."""

    def call(self, given: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(given, training, mask) + 1


@pytest.mark.parametrize("kind", [OwnCall, OwnSequence])
def test_a_model_that_overrides_its_call_is_not_made_of_its_graph(kind: Any, tmp_path: Path) -> None:
    given, last = keras.Input((3,)), keras.layers.Dense(1)
    model = OwnCall(given, last(given)) if kind is OwnCall else OwnSequence([given, last])
    rows = inputs([NUMBER] * 3)
    model(rows)
    assert len(write_plain(model, tmp_path / "m.keras")) == 1
    opened = keras.saving.load_model(tmp_path / "m.keras", custom_objects={kind.__name__: kind})
    np.testing.assert_allclose(np.asarray(opened(rows)), np.asarray(model(rows)), rtol=1e-6)


def test_every_layer_of_learnd_can_be_frozen() -> None:
    found = list(StreamLayer.__subclasses__())
    for cls in found:
        found += cls.__subclasses__()
        assert cls.frozen is not StreamLayer.frozen or cls.__subclasses__()
