"""Models that carry a state from sample to sample: recurrent layers with `stateful=True`."""

from __future__ import annotations

from typing import Any

from learnd.daemon.training.phases import walk
from learnd.daemon.training.runtime import tf


def carried_states(model: Any) -> list[Any]:
    """Return the states of recurrent layers, which Keras does not count among the variables of the model."""
    layers = (layer for _, layer in walk(model) if getattr(layer, "stateful", False) is True)
    return [state for layer in layers for state in tf.nest.flatten(getattr(layer, "states", None) or [])]


def takes_one_row(model: Any) -> bool:
    """Whether a model is built for batches of one sample, as those that carry a state are."""
    return any(tensor.shape[0] == 1 for tensor in getattr(model, "inputs", None) or ())
