"""How a mixture of networks learns: each network by its own loss, the shares by the losses of what was predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learnd.daemon.training.hedge import shift, surprise
from learnd.daemon.training.layers import RunningLabelScale
from learnd.daemon.training.losses import TargetLoss, unscaled
from learnd.daemon.training.networks import AveragedNetwork, LastLabels, Mixture
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.step.parts import as_keras
from learnd.daemon.values import TargetSpec

_LIMIT = 10.0  # deviations, of a label that a network sees


class Mixing:
    """An `Ensemble` of the networks in a model whose last layers are a `Mixture` and, of a regression, a label scale.

    The weights of the networks are disjoint, so the sum of their losses gives each network the gradient of its own.

    The members, each network and its average, share the prediction by `hedge`. Their loss is that which trains, the
    cross entropy unless the settings name another; of a regression it is `hedge.surprise`.
    """

    def __init__(self, model: Any, target: TargetSpec, loss: TargetLoss, mixture: Mixture) -> None:
        """`loss` is that of the target, of what the last layer gives."""
        layers = model.layers
        self._target = target
        self._mixture = mixture
        self._networks = [layer for layer in layers if isinstance(layer, AveragedNetwork)]
        self._last_labels = next((layer for layer in layers if isinstance(layer, LastLabels)), None)
        self._label_scale = next((layer for layer in layers if isinstance(layer, RunningLabelScale)), None)
        self._labels = loss.labels
        self._loss, self._of_logits = of_logits(unscaled(loss.keras))
        self._pass = keras.Model(model.input, [model.output, *tf.nest.flatten(mixture.input)], name="pass")

    @property
    def variables(self) -> list[Any]:
        of_labels = [] if self._last_labels is None else [self._last_labels.averages]
        averages = [variable for network in self._networks for variable in network.running.variables]
        return [*averages, *of_labels, self._mixture.shares, self._mixture.least]

    def outputs(self, inputs: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        output, *said = self._pass(as_keras(inputs), training=True)
        return {self._target.name: output}, tf.concat(said, axis=1)

    def lesson(self, said: Any, targets: Mapping[str, Any], weight: Any) -> tuple[Any, Any]:
        labels = targets[self._target.name]
        if self._label_scale is not None:
            labels = self._label_scale.scaled(labels)
        losses = self._losses(said, labels)
        of_networks = tf.reduce_sum(losses[:, ::2], axis=1)
        loss = tf.reduce_sum(of_networks * weight) / tf.cast(tf.shape(weight)[0], tf.float32)
        return loss, (said, losses, labels, weight)

    def losses_alone(self, inputs: Mapping[str, Any], targets: Mapping[str, Any]) -> Any:
        _, *said = self._pass(as_keras(inputs), training=False)
        alone = tf.concat(said[: len(said) - self._mixture.lagged], axis=1)
        return self._losses(alone, targets[self._target.name])[:, ::2]

    def _losses(self, said: Any, labels: Any) -> Any:
        """Return the loss of each member (B, members), given what it said (B, members, C) and the labels (B, O)."""
        members = said.shape[1]
        flat = tf.reshape(said, (-1, said.shape[2]))
        repeated = self._labels(tf.repeat(labels, members, axis=0))
        losses = self._loss.call(repeated, flat if self._of_logits else self._mixture.linked(flat))
        return tf.reshape(tf.cast(losses, tf.float32), (-1, members))

    def follow(self, lesson: Any) -> None:
        said, losses, labels, weight = lesson
        for network in self._networks:
            network.running.follow()
        shift(self._mixture.shares, self._surprise(said, labels) if self._mixture.link == "linear" else losses, weight)
        if self._last_labels is not None:
            self._last_labels.follow(self._seen(labels))

    def _surprise(self, said: Any, labels: Any) -> Any:
        errors = tf.reduce_mean(tf.square(self._mixture.with_mean(said) - labels[:, tf.newaxis, :]), axis=2)
        return surprise(self._mixture.least, errors)

    def _seen(self, labels: Any) -> Any:
        """Return labels as the networks see them, (B, C)."""
        if self._mixture.link == "softmax":
            return tf.one_hot(tf.cast(labels[:, 0], tf.int32), self._mixture.outputs)
        if self._mixture.link == "sigmoid":
            return 2 * labels - 1
        return labels if self._label_scale is None else tf.clip_by_value(labels, -_LIMIT, _LIMIT)


def mixture_of(model: Any) -> Mixture | None:
    """Return the layer that mixes the networks of a model; None if it has none."""
    return next((layer for layer in getattr(model, "layers", ()) if isinstance(layer, Mixture)), None)


def of_logits(loss: Any) -> tuple[Any, bool]:
    """Return the loss of what goes into the last activation, if Keras has it, and whether it does."""
    if "from_logits" not in loss.get_config():
        return loss, False
    return type(loss).from_config({**loss.get_config(), "from_logits": True}), True
