"""What Keras takes without a word although it hardly can be meant: said at the start, and by `validate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import structlog

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.losses import is_own
from learnd.daemon.training.phases import walk
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import TrainSettings
from learnd.daemon.training.step.parts import Parts

log = structlog.get_logger()


def tell_doubts(parts: Parts, train: TrainSettings, trained: Sequence[Any]) -> None:
    """Log a line for each layer that does not go with the loss, or, if it is trained, with the size of a batch."""
    alone = train.batch_size == 1
    for layer, consequence, way_out in (*(_constant(parts, trained) if alone else ()), *_logits(parts)):
        log.warning("model_doubtful", layer=layer.name, consequence=consequence, way_out=way_out)


def _constant(parts: Parts, trained: Sequence[Any]) -> Iterator[tuple[Any, str, str]]:
    known = {id(variable) for variable in trained}
    for _, layer in walk(parts.model):
        of_rows = isinstance(layer, keras.layers.BatchNormalization) and layer.input_spec.ndim == 2
        if of_rows and any(id(variable) in known for variable in layer.trainable_variables):
            yield (
                layer,
                "in a batch of one each value is its own mean, so this layer gives the same for every sample",
                "train.batch_size: 32, or learnd.RunningStandardization in its place",
            )


def _logits(parts: Parts) -> Iterator[tuple[Any, str, str]]:
    (target, *others), layers = parts.spec.targets, getattr(parts.model, "layers", ())
    loss, activation = parts.losses[target.name], KINDS[target.task.kind].last_activation
    if others or not layers or activation == "linear" or loss.link is not tf.identity:
        return
    if getattr(layers[-1], "activation", None) is not keras.activations.linear:
        return
    if is_own(loss.keras):
        yield (
            layers[-1],
            "if your loss takes these outputs as logits, the scores still take them for probabilities",
            f"activation='{activation}' in this layer, or an attribute from_logits = True of your loss",
        )
    elif getattr(loss.keras, "from_logits", None) is False:
        yield (
            layers[-1],
            "it gives logits, but the loss and the scores take them for probabilities",
            f"activation='{activation}' in this layer, or from_logits: true in train.loss",
        )
