"""Phases: sets which layers train, layer by layer, and checks the result against Keras' trainable variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from learnd.daemon.errors import ModelError
from learnd.daemon.training.layer_choice import LayerName, chosen
from learnd.daemon.training.layers import RunningStatistics
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import LayerChoice, PhaseSettings


class Phases:
    """The phases of the settings, for a model. Without any, the model trains as it was built.

    Keras' `trainable` is set for each layer, outer layers first: setting it also sets the layers within, and an inner
    layer trains only if every layer around it does.
    """

    def __init__(self, settings: Sequence[PhaseSettings], model: Any) -> None:
        """Raises ModelError if a phase names layers that do not exist, or trains nothing."""
        self._settings = settings
        self._model = model
        self._layers = [(path, layer) for path, layer in walk(model) if _own(layer)]
        self._names = [LayerName(path, type(layer).__name__) for path, layer in self._layers]
        self._built = [layer.trainable for _, layer in self._layers]
        plans = [self._plan(number) for number in range(len(settings))]
        trained = {id(weight) for plan in plans for weight in self._weights(plan)}
        self.ever_trained: list[Any] = [
            variable for variable in model.variables if (id(variable) in trained if settings else variable.trainable)
        ]

    def __len__(self) -> int:
        return max(1, len(self._settings))

    def settings(self, number: int) -> PhaseSettings:
        return self._settings[number] if self._settings else PhaseSettings()

    def begin(self, number: int) -> None:
        """Freeze and unfreeze layers. Raises ModelError if Keras then trains something else."""
        if not self._settings:
            return
        plan = self._plan(number)
        self._model.trainable = True
        for (_, layer), train in zip(self._layers, plan, strict=True):
            layer.trainable = train
        expected, have = parameters(self._weights(plan)), parameters(self._model.trainable_variables)
        if expected != have:
            raise ModelError(
                f"phases.{number}: {expected:,} parameters should train, but Keras trains {have:,}: a layer sets "
                "`trainable` of its inner layers itself. Nothing was trained in this phase. Fix the model."
            )

    def trained_layers(self) -> list[str]:
        """Return the paths of the layers that train now."""
        return [path for path, layer in self._layers if any(weight.trainable for weight in _trainable(layer))]

    def times(self, number: int) -> dict[int, float]:
        """Return the factor for the steps of variables, by the variable's id. Later groups override earlier ones."""
        factors = {}
        for group, settings in enumerate(self.settings(number).groups):
            for index in self._chosen(f"phases.{number}.groups.{group}.layers", settings.layers):
                factors.update({id(weight): settings.times for weight in _trainable(self._layers[index][1])})
        return factors

    def _plan(self, number: int) -> list[bool]:
        """Return whether each layer trains in a phase."""
        settings, place = self._settings[number], f"phases.{number}"
        thawed, frozen = settings.unfreeze, settings.freeze
        plan = list(self._built)
        if thawed is not None:
            indices = self._chosen(f"{place}.unfreeze", thawed)
            plan = [index in indices or self._only_learns(index) for index in range(len(plan))]
        if frozen is not None:
            indices = self._chosen(f"{place}.freeze", frozen)
            plan = [train and index not in indices for index, train in enumerate(plan)]
        if settings.batch_normalization == "inference":
            plan = [train and not self._normalizes(index) for index, train in enumerate(plan)]
        self.times(number)
        if not self._weights(plan):
            raise ModelError(f"{place}: no layer trains in it. Nothing was trained. Unfreeze at least one layer.")
        return plan

    def _chosen(self, place: str, choice: LayerChoice) -> set[int]:
        try:
            return chosen(choice, self._names)
        except LookupError as error:
            raise ModelError(f"{place}: {error.args[0]}. Nothing was trained.") from error

    def _weights(self, plan: Sequence[bool]) -> list[Any]:
        return [w for (_, layer), train in zip(self._layers, plan, strict=True) if train for w in _trainable(layer)]

    def _only_learns(self, index: int) -> bool:
        """Whether a layer only learns statistics: then `unfreeze` for other layers does not freeze it."""
        return isinstance(self._layers[index][1], RunningStatistics) and bool(self._built[index])

    def _normalizes(self, index: int) -> bool:
        return isinstance(self._layers[index][1], keras.layers.BatchNormalization)


def parameters(variables: Sequence[Any]) -> int:
    """Return the number of parameters in the variables."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


def may_train(model: Any) -> list[Any]:
    """Return the weights that train unless they are frozen: all but statistics, counters and seeds."""
    return [weight for _, layer in walk(model) for weight in _trainable(layer)]


def walk(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield each layer once with its path, outer layers before inner ones: first the model, whose path is empty."""
    seen: set[int] = set()

    def layers_of(layer: Any, path: str) -> Iterator[tuple[str, Any]]:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        yield path, layer
        for inner in layer._flatten_layers(include_self=False, recursive=False):  # noqa: SLF001  (Keras has no other)
            yield from layers_of(inner, f"{path}/{inner.name}".lstrip("/"))

    return layers_of(model, "")


def _own(layer: Any) -> bool:
    """Whether a layer has weights or statistics of its own, besides those of its inner layers."""
    return bool(layer._trainable_variables or layer._non_trainable_variables)  # noqa: SLF001


def _trainable(layer: Any) -> list[Any]:
    """Return the layer's own weights that train unless it is frozen."""
    return list(layer._trainable_variables)  # noqa: SLF001  (the public list leaves out what is frozen now)
