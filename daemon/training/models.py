"""Where the model comes from: a preset, a build function, or a `.keras` file."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import structlog

from learnd.daemon.errors import ModelError
from learnd.daemon.training.presets import create_preset
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.training.step.parts import as_input, by_name
from learnd.daemon.training.user_code import call_function
from learnd.daemon.values import InputSpec, SampleSpec

log = structlog.get_logger()


def create_model(settings: ModelSettings, spec: SampleSpec, *, scales_label: bool = False) -> Any:
    """Return the Keras model of the settings, checked against the samples. Raises ModelError.

    With `scales_label`, a preset that standardises does so with the label, too: its loss must allow that.
    """
    if settings.build is not None:
        model = _call_build_function(settings.build, spec)
    elif settings.load is not None:
        model = _load(settings.load)
    else:
        model = _checked_preset(settings, spec, scales_label=scales_label)
    _check_shapes(model, spec)
    return model


def _checked_preset(settings: ModelSettings, spec: SampleSpec, *, scales_label: bool) -> Any:
    try:
        return create_preset(settings, spec, scales_label=scales_label)
    except (ValueError, TypeError) as error:
        told = str(error).strip().partition("\n")[0]
        raise ModelError(f"model: Keras cannot build this preset: {told}. Nothing was trained.") from error


def _call_build_function(given: Path, spec: SampleSpec) -> Any:
    model = call_function("model.build", given, "a model", spec)
    if not isinstance(model, keras.Model):
        raise ModelError(f"model.build: {given.name} returned {type(model).__name__}; it must return a keras.Model")
    return model


def _load(path: Path) -> Any:
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ModelError(f"model.load: {path} is not a .keras file, or is damaged. Nothing was trained.")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            model = keras.saving.load_model(path)
    except Exception as error:
        raise ModelError(
            f"model.load: {path} cannot be opened as a Keras model: {error}\n"
            "  Nothing was trained. Give a file written by `model.save('NAME.keras')`; custom layers must be "
            "registered with keras.saving.register_keras_serializable and importable."
        ) from error
    for warning in told:
        log.warning("loaded_in_part", file=str(path), reason=str(warning.message))
    return model


def _check_shapes(model: Any, spec: SampleSpec) -> None:
    """Check that the model takes and gives what the samples need. If it has no shapes of its own, it is called once."""
    if isinstance(model, keras.Sequential) and not model.built:
        model.build((None, *spec.inputs[0].shape))
    if getattr(model, "inputs", None) is None:
        outputs = _outputs_of_call(model, spec)
    else:
        _check_inputs(model, spec)
        outputs = model.outputs if len(model.outputs) == 1 else model.output
    _check_outputs(outputs, model, spec)
    if not model.trainable_variables:
        raise ModelError("model: no variable is trainable; unfreeze at least one layer")


def _check_inputs(model: Any, spec: SampleSpec) -> None:
    """Check the inputs of a model by their names; the only one needs none."""
    if len(model.inputs) == len(spec.inputs) == 1:
        inputs = {spec.inputs[0].name: model.inputs[0]}
    else:
        inputs = {tensor.name: tensor for tensor in model.inputs}
    names = [part.name for part in spec.inputs]
    if set(inputs) != set(names):
        raise ModelError(
            f"model: its inputs are {_listed([*inputs])}, and the samples have {_listed(names)}. "
            "Nothing was trained. Give the inputs of the model these names."
        )
    for part in spec.inputs:
        shape, expected = tuple(inputs[part.name].shape), (None, *part.shape)
        if shape not in {expected, (1, *part.shape)}:
            raise ModelError(
                f"model: the input shape{_of(part.name, names)} is {shape}, and the samples need {expected}: "
                f"{_described(part)}. Change the model's input or samples.features."
            )


def _check_outputs(outputs: Any, model: Any, spec: SampleSpec) -> None:
    """Check the outputs of a model by the names of the targets; the only one needs none."""
    names, flat = [target.name for target in spec.targets], tf.nest.flatten(outputs)
    found = by_name(outputs, model, spec)
    if not isinstance(found, dict) or set(found) != set(names):
        given = f"named {_listed([*found])}" if isinstance(found, dict) else "without names"
        raise ModelError(
            f"model: it gives {len(flat)} outputs {given}, and the samples need {len(names)}: {_listed(names)}. "
            "Nothing was trained. Return one output for one target, and for several a dictionary by their names."
        )
    for target in spec.targets:
        shape, expected = tuple(found[target.name].shape), (None, *target.task.output_shape)
        if shape not in {expected, (1, *target.task.output_shape)}:
            labels = "" if not target.task.shape else f" with labels of shape {target.task.shape}"
            raise ModelError(
                f"model: the output shape{_of(target.name, names)} is {shape}, and the task "
                f"{target.task.kind}{labels} needs {expected}. Change the last layer, model.task or samples.label."
            )


def _outputs_of_call(model: Any, spec: SampleSpec) -> Any:
    """Return the symbolic outputs of a subclass of keras.Model; the call builds its variables."""
    try:
        outputs = model(as_input(spec.zeros(1).inputs), training=False)
    except Exception as error:
        raise ModelError(
            f"model: it cannot be called with {' and '.join(_described(part) for part in spec.inputs)}: "
            f"{str(error).strip()}\n  Nothing was trained. Correct the model or change samples.features."
        ) from error
    return tf.nest.map_structure(lambda output: keras.KerasTensor((None, *output.shape[1:])), outputs)


def _of(name: str, names: list[str]) -> str:
    """Return which of several is meant, within a message; nothing if there is only one."""
    return f" of {name}" if len(names) > 1 else ""


def _described(part: InputSpec) -> str:
    if not part.columns:
        return f"{part.dtype} of shape {part.shape}"
    return f"{len(part.columns)} columns ({_listed([column.name for column in part.columns])})"


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
