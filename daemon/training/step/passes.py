"""Whether a model gives in training what it gives in inference: by what its layers do, not by what they are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from learnd.daemon.training.layers import RunningStatistics
from learnd.daemon.training.phases import walk
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.step.parts import Parts

_NUMBER = re.compile(r"_\d+(?![0-9a-zA-Z])")  # in names of traced functions: how many the process has traced before


def predicts_differently(parts: Parts) -> bool:
    """Whether the model's outputs in training differ from its predictions: because of Dropout, BatchNormalization, a
    `call` that asks whether it trains, or averages of the weights.
    """
    if parts.optimizing.averages or any(_learns(layer) for _, layer in walk(parts.model)):
        return True
    return _operations(parts, training=True) != _operations(parts, training=False)


def _learns(layer: Any) -> bool:
    """Whether a layer certainly changes in training; learnd's own are in most models, and to trace one takes time."""
    return isinstance(layer, RunningStatistics) and bool(layer.trainable)


def _operations(parts: Parts, *, training: bool) -> list[str]:
    """Return the operations of a pass through the model, as text."""
    inputs = {spec.name: tf.TensorSpec((1, *spec.shape), spec.dtype) for spec in parts.spec.inputs}
    function = tf.function(lambda given: parts.outputs(given, training=training), autograph=False)
    return sorted(_NUMBER.sub("", text) for text in _texts(function.get_concrete_function(inputs).graph.as_graph_def()))


def _texts(graph: Any) -> Iterator[str]:
    for node in graph.node:
        yield str(node)
    for inner in graph.library.function:
        yield str(inner)
