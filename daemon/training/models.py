"""Where the model comes from: a preset, a build function, or a `.keras` file."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from learnd.daemon.errors import ModelError
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training import layers
from learnd.daemon.training.layer_choice import category_name
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.values import ColumnKind, SampleSpec


def create_model(settings: ModelSettings, spec: SampleSpec) -> Any:
    """Return the Keras model of the settings, checked against the samples. Raises ModelError."""
    if settings.build is not None:
        model = _call_build_function(settings.build, spec)
    elif settings.load is not None:
        model = _load(settings.load)
    else:
        model = _checked_preset(settings, spec)
    _check_shapes(model, spec)
    return model


def _checked_preset(settings: ModelSettings, spec: SampleSpec) -> Any:
    try:
        return _preset(settings, spec)
    except (ValueError, TypeError) as error:
        told = str(error).strip().partition("\n")[0]
        raise ModelError(f"model: Keras cannot build this preset: {told}. Nothing was trained.") from error


def _preset(settings: ModelSettings, spec: SampleSpec) -> Any:
    inputs = keras.Input((spec.width,), name="features")
    hidden = _encode(settings, spec, inputs)
    for number, units in enumerate([] if settings.preset == "linear" else settings.hidden):
        hidden = keras.layers.Dense(units, activation=settings.activation, name=f"hidden_{number}")(hidden)
        if settings.dropout:
            hidden = keras.layers.Dropout(settings.dropout, name=f"dropout_{number}")(hidden)
    activation = KINDS[spec.task.kind].last_activation
    last = keras.layers.Dense(spec.task.outputs, activation=activation, name="output")
    return keras.Model(inputs, last(hidden), name=settings.preset or "mlp")


def _encode(settings: ModelSettings, spec: SampleSpec, inputs: Any) -> Any:
    """Standardise the numbers and embed the categories."""
    numbers = [index for index, column in enumerate(spec.columns) if column.kind is ColumnKind.NUMBER]
    parts = []
    if numbers:
        part = inputs if len(numbers) == spec.width else layers.TakeColumns(numbers, name="numbers")(inputs)
        parts.append(layers.RunningStandardization(name="standardize")(part) if settings.standardize else part)
    for index, column in enumerate(spec.columns):
        if column.kind is ColumnKind.CATEGORY:
            name = category_name(index, column.name)
            category = layers.TakeColumns([index], name=f"{name}_index")(inputs)
            embedding = keras.layers.Embedding(column.size, min(settings.embedding, column.size), name=name)
            parts.append(keras.layers.Flatten(name=f"{name}_flat")(embedding(category)))
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="encoded")(parts)


def _call_build_function(name: str, spec: SampleSpec) -> Any:
    module_name, _, function_name = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = _build_function(module_name, function_name)
        model = function(spec) if inspect.signature(function).parameters else function()
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model.build: {name} failed with {type(error).__name__}: {error}\n"
            f"  {_place(error, module_name)}Nothing was trained. Fix the function and start again."
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(f"model.build: {name} returned {type(model).__name__}; it must return a keras.Model")
    return model


def _place(error: BaseException, module_name: str) -> str:
    """Return the line of the user's module that an error comes from, as "at FILE:LINE. "; empty if there is none."""
    module = sys.modules.get(module_name)
    own = getattr(module, "__file__", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f"at {frames[-1].filename}:{frames[-1].lineno}. " if frames else ""


def _build_function(module_name: str, function_name: str) -> Any:
    """Return the function of that name. Raises ModelError if there is none, and what importing its module raises."""
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the missing module is one that the user's module imports
        raise ModelError(
            f"model.build: there is no module {error.name!r}, neither in the current folder ({Path.cwd()}) nor among "
            "the installed packages. Nothing was trained. Start learnd in the module's folder, or set PYTHONPATH."
        ) from error
    if not hasattr(module, function_name):
        raise ModelError(
            f"model.build: {module.__file__} has no function {function_name!r}. Nothing was trained. Correct the name."
        )
    function = getattr(module, function_name)
    if not callable(function):
        raise ModelError(
            f"model.build: {function_name!r} in {module.__file__} is not a function but {type(function).__name__}. "
            "Nothing was trained. Name a function that returns a model."
        )
    return function


def _load(path: Path) -> Any:
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ModelError(f"model.load: {path} is not a .keras file, or is damaged. Nothing was trained.")
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        raise ModelError(
            f"model.load: {path} cannot be opened as a Keras model: {error}\n"
            "  Nothing was trained. Give a file written by `model.save('NAME.keras')`; custom layers must be "
            "registered with keras.saving.register_keras_serializable and importable."
        ) from error


def _check_shapes(model: Any, spec: SampleSpec) -> None:
    """Check the model's input and output shapes against the samples. A model that does not know them is called once."""
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, spec.width))
    if getattr(model, "inputs", None) is None:
        input_shape, output_shape = (None, spec.width), _shape_of_call(model, spec)
    else:
        input_shape, output_shape = model.input_shape, model.output_shape
    if isinstance(input_shape, (list, dict)) or isinstance(output_shape, (list, dict)):
        raise ModelError("model: learnd trains models with one input and one output; this one has several")
    expected_in, expected_out = (None, spec.width), (None, spec.task.outputs)
    if tuple(input_shape) not in {expected_in, (1, spec.width)}:
        raise ModelError(
            f"model: the input shape is {tuple(input_shape)}, but the samples need {expected_in}: "
            f"{spec.width} columns ({_listed([column.name for column in spec.columns])}). "
            "Change the model's input or samples.features."
        )
    if tuple(output_shape) != expected_out:
        raise ModelError(
            f"model: the output shape is {tuple(output_shape)}, but the task "
            f"{spec.task.kind} needs {expected_out}. Change the last layer, model.task or samples.label."
        )
    if not model.trainable_variables:
        raise ModelError("model: no variable is trainable; unfreeze at least one layer")


def _shape_of_call(model: Any, spec: SampleSpec) -> Any:
    """Return the output shape of a subclass of keras.Model, by calling it, which also builds its variables."""
    try:
        output = model(np.zeros((1, spec.width), np.float32), training=False)
    except Exception as error:
        raise ModelError(
            f"model: it cannot be called with {spec.width} columns "
            f"({_listed([column.name for column in spec.columns])}): {str(error).strip()}\n"
            "  Nothing was trained. Fix the model or change samples.features."
        ) from error
    if isinstance(output, (list, tuple, dict)):
        return []
    return (None, *output.shape[1:])


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
