"""The networks that fit the declared samples: the presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training import layers
from learnd.daemon.training.layer_choice import category_name, text_name
from learnd.daemon.training.networks import AveragedNetwork, LastLabels, Mixture, SoftBins
from learnd.daemon.training.recipe import COLUMNS, KEEP, LAGS, UNITS, Recipe, recipe_of
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import ModelSettings
from learnd.daemon.training.step.parts import as_keras
from learnd.daemon.values import ColumnKind, InputSpec, SampleSpec


def create_preset(settings: ModelSettings, spec: SampleSpec, *, scales_label: bool) -> Any:
    """Return the model of a preset. With `scales_label`, one that standardises does so with the label, too."""
    inputs = {part.name: keras.Input(part.shape, dtype=part.dtype, name=part.name) for part in spec.inputs}
    encoded = _encode(settings, spec, inputs)
    scaled = scales_label and settings.standardize
    last = _last_label(spec) if scaled == settings.standardize else None
    if settings.mixes:
        outputs = _mixture(settings, spec, encoded, last, scaled)
    else:
        outputs = _single(settings, spec, encoded, last)
    if scaled:
        outputs = layers.RunningLabelScale(name="label_scale")(outputs)
    return keras.Model(as_keras(inputs), outputs, name=settings.preset or "mlp")


def _last_label(spec: SampleSpec) -> int | None:
    """Return the encoded column with the last label that a window holds, which is the first forecast of a preset; None
    if there is none, or if another unit than that of the output is between them.
    """
    column = spec.targets[0].in_window
    if spec.window is None or column is None or KINDS[spec.task.kind].last_activation != "linear":
        return None
    numbers = [index for index, its in enumerate(spec.columns) if its.kind is ColumnKind.NUMBER]
    return (spec.window.length - 1) * len(numbers) + numbers.index(column)


def _single(settings: ModelSettings, spec: SampleSpec, encoded: Any, last: int | None) -> Any:
    """Add hidden layers, and a last layer."""
    hidden = encoded
    for number, units in enumerate([] if settings.preset == "linear" else settings.hidden):
        hidden = keras.layers.Dense(units, activation=settings.activation, name=f"hidden_{number}")(hidden)
        if settings.dropout:
            hidden = keras.layers.Dropout(settings.dropout, name=f"dropout_{number}")(hidden)
    return _output(spec, encoded, hidden, last)


def _output(spec: SampleSpec, encoded: Any, hidden: Any, last: int | None) -> Any:
    """Add the last layer, which sees the inputs beside the hidden units: what is linear is learnt first.

    Its weights for the inputs start from zero, so that they do not add to the noise of the first predictions; that for
    the `last` label starts from one.
    """
    output = keras.layers.Dense(spec.task.outputs, KINDS[spec.task.kind].last_activation, name="output")
    alone = hidden is encoded
    seen = encoded if alone else keras.layers.Concatenate(name="hidden_and_encoded")([hidden, encoded])
    outputs = output(seen)
    of_inputs = 0 if alone else hidden.shape[-1]
    weights = output.kernel.numpy()
    if not alone or last is not None:
        weights[of_inputs:] = 0
    if last is not None:
        weights[of_inputs + last] = 1
    output.kernel.assign(weights)
    return outputs


def _mixture(settings: ModelSettings, spec: SampleSpec, encoded: Any, last: int | None, scaled: bool) -> Any:
    """Add the networks of the recipe, each behind what it sees, and mix them; with `scaled` labels, with their mean."""
    recipe, link, outputs = recipe_of(settings, spec), KINDS[spec.task.kind].last_activation, spec.task.outputs
    said = [_network(COLUMNS, outputs, first=last)(_with_bins(recipe, encoded))]
    if recipe.lags:
        lags = LastLabels(outputs, name="last_labels")(encoded)
        seen = keras.layers.Concatenate(name="encoded_and_lags")([encoded, lags])
        said.append(_network(LAGS, outputs, first=encoded.shape[-1] if link == "linear" else None)(seen))
    return Mixture(recipe.networks, link, lagged=int(recipe.lags), mean=scaled, name="mixture")(said)


def _network(name: str, outputs: int, first: int | None = None) -> AveragedNetwork:
    return AveragedNetwork([UNITS[name]], outputs, "relu", KEEP[name], first, name=name)


def _with_bins(recipe: Recipe, encoded: Any) -> Any:
    """Add bins of the columns that need them, if there are any."""
    if not recipe.bins:
        return encoded
    taken = encoded
    if recipe.binned != tuple(range(encoded.shape[-1])):
        taken = layers.TakeColumns(list(recipe.binned), name="to_bin")(encoded)
    binned = SoftBins(recipe.bins, name="bins")(taken)
    return keras.layers.Concatenate(name="encoded_and_bins")([encoded, binned])


def _encode(settings: ModelSettings, spec: SampleSpec, inputs: Mapping[str, Any]) -> Any:
    """Standardise the numbers, embed the categories, and the words of each text, of which it takes the mean."""
    parts = []
    for index, part in enumerate(spec.inputs):
        if part.columns:
            parts += _encode_columns(settings, spec, inputs[part.name])
        else:
            parts.append(_encode_text(settings, text_name(index, part.name), part, inputs[part.name]))
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="encoded")(parts)


def _encode_text(settings: ModelSettings, name: str, part: InputSpec, ids: Any) -> Any:
    embedding = keras.layers.Embedding(part.vocabulary_size, settings.embedding, name=name)
    return layers.MeanOfWords(name=f"{name}_mean")([embedding(ids), ids])


def _encode_columns(settings: ModelSettings, spec: SampleSpec, inputs: Any) -> list[Any]:
    if spec.window is not None:
        inputs = keras.layers.Flatten(name="records")(inputs)
    firsts = range(0, inputs.shape[-1], spec.width)  # the first column of each record: of several in a window
    numbers = [
        first + index for first in firsts for index, its in enumerate(spec.columns) if its.kind is ColumnKind.NUMBER
    ]
    parts = []
    if numbers:
        part = inputs if len(numbers) == inputs.shape[-1] else layers.TakeColumns(numbers, name="numbers")(inputs)
        parts.append(layers.RunningStandardization(name="standardize")(part) if settings.standardize else part)
    for index, column in enumerate(spec.columns):
        if column.kind is ColumnKind.CATEGORY:
            name = category_name(index, column.name)
            category = layers.TakeColumns([first + index for first in firsts], name=f"{name}_index")(inputs)
            embedding = keras.layers.Embedding(column.size, min(settings.embedding, column.size), name=name)
            parts.append(keras.layers.Flatten(name=f"{name}_flat")(embedding(category)))
    return parts
