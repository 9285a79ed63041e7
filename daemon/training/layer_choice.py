"""Finds the layers that a phase of the settings names. Imports no TensorFlow, so that `learnd validate` stays quick."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.recipe import COLUMNS, LAGS, Recipe, recipe_of
from learnd.daemon.training.settings import LayerChoice, LayerType, ModelSettings, PhaseSettings
from learnd.daemon.values import ColumnKind, SampleSpec

_NOT_COUNTED = ("BatchNormalization", "RunningStandardization", "RunningLabelScale", "LastLabels", "Mixture")


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer with weights: its path from the model down (`base/block_1/conv`) and its class."""

    path: str
    type: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def chosen(choice: LayerChoice, layers: Sequence[LayerName]) -> set[int]:
    """Return the indices of the chosen layers. Raises LookupError if a name, type or number fits no layer.

    A number n chooses the last n layers that can train, and with them every layer that learns statistics only and comes
    after the first of these.
    """
    items = choice if isinstance(choice, list) else [choice]
    return set().union(*(_matches(item, layers) for item in items))


def _matches(item: str | int | LayerType, layers: Sequence[LayerName]) -> set[int]:
    if isinstance(item, int):
        counted = [index for index, layer in enumerate(layers) if layer.type not in _NOT_COUNTED]
        if item > len(counted):
            raise LookupError(f"only {len(counted)} layers can train, not {item}: {_listed(layers)}")
        return set(range(counted[-item], len(layers)))
    if isinstance(item, LayerType):
        found = {index for index, layer in enumerate(layers) if layer.type == item.type}
        word, told, known = item.type, f"no layer has the type {item.type!r}", {layer.type for layer in layers}
    else:
        found = {
            index
            for index, layer in enumerate(layers)
            if fnmatchcase(layer.path, item) or fnmatchcase(layer.name, item)
        }
        word, told, known = item, f"no layer is called {item!r}", {layer.name for layer in layers}
    if not found:
        close = difflib.get_close_matches(word, sorted(known), 1)
        suggestion = f" (did you mean {close[0]}?)" if close else ""
        raise LookupError(f"{told}{suggestion}; the layers with weights are {_listed(layers)}")
    return found


def problems_with_phases(phases: Sequence[PhaseSettings], model: ModelSettings, spec: SampleSpec) -> list[str]:
    """Return what is wrong with the layers that the phases name. Presets only: other models must be built first."""
    if model.build is not None or model.load is not None:
        return []
    layers = _preset_layers(model, spec)
    return [f"phases.{number}{problem}" for number, phase in enumerate(phases) for problem in _problems(phase, layers)]


def _problems(phase: PhaseSettings, layers: Sequence[LayerName]) -> Iterator[str]:
    """Yield what is wrong with a phase. Each problem starts with the rest of its key."""
    indices: dict[str, set[int]] = {}
    for key, choice in phase.choices():
        try:
            indices[key] = chosen(choice, layers)
        except LookupError as error:
            yield f".{key}: {error.args[0]}"
    if len(indices) < len(phase.choices()):
        return
    able = {index for index, layer in enumerate(layers) if layer.type not in _NOT_COUNTED}
    trained = (indices.pop("unfreeze", able) & able) - indices.pop("freeze", set())
    if not trained:
        able_layers = [layers[index] for index in sorted(able)]
        yield f": no layer trains in it; unfreeze at least one of those that can: {_listed(able_layers)}"
    for key, named in indices.items():
        if trained and not named & trained:
            yield f".{key}: none of its layers trains in this phase; remove the group"


def _preset_layers(model: ModelSettings, spec: SampleSpec) -> list[LayerName]:
    """Return the layers with weights that `models.create_model` makes for a preset."""
    kinds = [column.kind for column in spec.columns]
    standardized = [LayerName("standardize", "RunningStandardization")]
    embedded = [
        LayerName(category_name(index, column.name), "Embedding")
        for index, column in enumerate(spec.columns)
        if column.kind is ColumnKind.CATEGORY
    ]
    texts = [text_name(index, part.name) for index, part in enumerate(spec.inputs) if not part.columns]
    embedded += [LayerName(name, "Embedding") for name in texts]
    scales_label = model.standardize and KINDS[spec.task.kind].last_activation == "linear"
    hidden = [] if model.preset == "linear" else model.hidden
    single = [*[LayerName(f"hidden_{number}", "Dense") for number in range(len(hidden))], LayerName("output", "Dense")]
    return [
        *(standardized if model.standardize and ColumnKind.NUMBER in kinds else []),
        *embedded,
        *(_mixed_layers(recipe_of(model, spec)) if model.mixes else single),
        *([LayerName("label_scale", "RunningLabelScale")] if scales_label else []),
    ]


def _mixed_layers(recipe: Recipe) -> list[LayerName]:
    lags = [LayerName("last_labels", "LastLabels"), LayerName(LAGS, "AveragedNetwork")] if recipe.lags else []
    return [LayerName(COLUMNS, "AveragedNetwork"), *lags, LayerName("mixture", "Mixture")]


def category_name(index: int, column: str) -> str:
    """Return the name of the layer that embeds the category of a column."""
    return f"category_{index}_{_plain(column)}"


def text_name(index: int, name: str) -> str:
    """Return the name of the layer that embeds the words of an input."""
    return f"text_{index}_{_plain(name)}"


def _plain(name: str) -> str:
    return "".join(char if char.isascii() and char.isalnum() else "_" for char in name)


def _listed(layers: Sequence[LayerName], most: int = 30) -> str:
    named = [f"{layer.path} ({layer.type})" for layer in layers]
    return ", ".join(named[:most]) + (", ..." if len(named) > most else "")
