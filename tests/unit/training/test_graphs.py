"""Models that go out as graphs give what the model itself gives, in each reader."""

from __future__ import annotations

import builtins
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from learnd.daemon.errors import ModelError
from learnd.daemon.training.export_formats import needs_of, problem_with_directory, problem_with_name
from learnd.daemon.training.models import create_model
from learnd.daemon.training.plain import write_plain
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import Arrays, Column, ColumnKind, InputSpec, SampleSpec, TargetSpec, Task

ENDINGS = ["", ".tflite", ".onnx"]
COLUMNS = (
    Column("a", ColumnKind.NUMBER),
    Column("shop", ColumnKind.CATEGORY, 5),
    Column("b", ColumnKind.NUMBER),
)
CLASSES = Task("classes", 3, 1, ("x", "y", "z"))


def spec(*, text: bool) -> SampleSpec:
    inputs = [InputSpec.of_columns("features", COLUMNS)]
    if text:
        inputs.append(InputSpec("review", (6,), "int32", vocabulary_size=20))
    return SampleSpec(tuple(inputs), (TargetSpec("label", CLASSES),))


def given(of: SampleSpec, rows: int = 4) -> Arrays:
    rng = np.random.default_rng(3)
    numbers = rng.normal(1, 2, (rows, 3)).astype(np.float32)
    numbers[:, 1] = rng.integers(0, 5, rows)
    words = rng.integers(1, 20, (rows, 6)).astype(np.int32)
    words[:, 4:] = 0
    return {part.name: numbers if part.columns else words for part in of.inputs}


def read(path: Path, inputs: Arrays) -> np.ndarray:
    """Return what a graph gives for these inputs."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, inputs)
        return np.asarray(found)
    if path.suffix == ".tflite":
        with warnings.catch_warnings(action="ignore"):  # there is a package of its own to come
            interpreter = tf.lite.Interpreter(str(path))
        return np.concatenate([only(interpreter, inputs, row) for row in range(len(next(iter(inputs.values()))))])
    loaded = tf.saved_model.load(str(path))
    (found,) = loaded.signatures["serving_default"](**{name: tf.constant(its) for name, its in inputs.items()}).values()
    return np.asarray(found)


def only(interpreter: Any, inputs: Arrays, row: int) -> np.ndarray:
    runs = interpreter.get_signature_runner()
    (found,) = runs(**{name: array[row : row + 1] for name, array in inputs.items()}).values()
    return np.asarray(found)


@pytest.mark.parametrize("text", [False, True], ids=["columns", "texts"])
@pytest.mark.parametrize("preset", ["auto", "mlp"])
def test_a_preset_as_a_graph_gives_the_same(tmp_path: Path, preset: Any, text: bool) -> None:
    of = spec(text=text)
    model = create_model(ModelSettings(preset=preset, task="classes"), of)
    inputs = given(of)
    model(inputs if text else inputs["features"], training=True)  # there are statistics to freeze
    expected = model.predict(inputs if text else inputs["features"], verbose=0)
    for ending in ENDINGS:
        path = tmp_path / f"model{ending}"
        assert write_plain(model, path) == []
        assert needs_of(path) is None
        np.testing.assert_allclose(read(path, inputs), expected, atol=1e-6, err_msg=ending)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.onnx", "model.tflite"]


def test_a_recurrent_model_in_litert_says_what_it_needs(tmp_path: Path) -> None:
    past = keras.Input((5, 2))
    write_plain(keras.Model(past, keras.layers.LSTM(3)(past)), tmp_path / "model.tflite")
    assert "Flex delegate" in (needs_of(tmp_path / "model.tflite") or "")


def test_a_saved_model_takes_the_place_of_another(tmp_path: Path) -> None:
    path, of = tmp_path / "1", spec(text=False)
    for preset in ("linear", "mlp"):
        model = create_model(ModelSettings(preset=preset, task="classes"), of)
        write_plain(model, path)
    np.testing.assert_allclose(read(path, given(of)), model.predict(given(of)["features"], verbose=0), atol=1e-6)


def test_what_writes_a_format_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] in {"onnx", "tf2onnx"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *more)

    model = create_model(ModelSettings(preset="linear", task="classes"), spec(text=False))
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(__import__("sys").modules, "tf2onnx", raising=False)
    with pytest.raises(ModelError, match=r"ONNX takes onnx; install learnd\[onnx\]"):
        write_plain(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_a_format_cannot_hold_is_told(tmp_path: Path) -> None:
    class Odd(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, given: Any) -> Any:
            return tf.numpy_function(lambda rows: rows, [given], tf.float32)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    past = keras.Input((2,))
    with pytest.raises(ModelError, match=r"model.onnx: this model cannot be written as ONNX: .*Nothing was written"):
        write_plain(keras.Model(past, Odd()(past)), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_why_a_model_cannot_be_written_is_told_without_where_keras_was(tmp_path: Path, ending: str) -> None:
    past = keras.Input(batch_shape=(1, 3, 2))
    carrying = keras.Model(past, keras.layers.GRU(2, stateful=True)(past))
    with pytest.raises(ModelError, match=r"as [^:]*: Input tensor .* Nothing was written\.$") as caught:
        write_plain(carrying, tmp_path / f"model{ending}")
    assert "\x1b" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_name_says_the_format(tmp_path: Path) -> None:
    for name in ("model.keras", "model.onnx", "model.tflite", "model", "serving/1"):
        assert problem_with_name(Path(name)) is None
    assert ".h5 says no format" in (problem_with_name(Path("model.h5")) or "")
    full = tmp_path / "full"
    full.mkdir()
    assert problem_with_directory(full, force=False) is None
    (full / "notes.txt").touch()
    assert "other things" in (problem_with_directory(full, force=True) or "")
    (full / "saved_model.pb").touch()
    assert "--force" in (problem_with_directory(full, force=False) or "")
    assert problem_with_directory(full, force=True) is None
