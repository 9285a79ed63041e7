"""What an update trains on beside its own samples: some of the memory, and what the model gave for them before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.losses import ScaledLoss, TargetLoss
from learnd.daemon.training.memory.memory import Memory, Remembered
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import SampleSpec

if TYPE_CHECKING:
    from learnd.daemon.training.step.parts import Parts

_LEAST = 1e-7  # of a probability whose logit is taken, as in Keras


class Replay:
    """Experience replay with distillation: DER++ (Buzzega et al., Dark Experience for General Continual Learning,
    NeurIPS 2020).

    With B samples of the update and n of the memory, their losses L and L', and today's logits z of the latter against
    those stored, z', the loss that trains is, for each target,

        (B L + n (L' + distill mean((z - z')²))) / (B + n)

    of a loss that adds samples up, L + L' + n distill mean((z - z')²). The replay changes no statistics of the inputs
    or labels, and enters no score: each sample counts once there.
    """

    def __init__(
        self, memory: Memory, distill: float | None, losses: Mapping[str, TargetLoss], spec: SampleSpec
    ) -> None:
        self.memory = memory
        self._distill = distill
        self._losses = losses
        kinds = {target.name: KINDS[target.task.kind].last_activation for target in spec.targets}
        self._compared = {name: _compared(loss, kinds[name]) for name, loss in losses.items()}

    def joined(self, parts: Parts, new: Remembered, of_targets: Mapping[str, Any]) -> dict[str, Any]:
        """Return the losses of the targets, for new samples and some of the memory.

        What the replay writes into the model, such as running statistics and the state of random layers, is dropped.
        """
        old, count = self.memory.drawn(new)
        rows = tf.cast(tf.shape(new.weight)[0], tf.float32)
        with keras.StatelessScope():
            outputs = parts.outputs(old.inputs, training=True)
            return {
                name: self._of_target(name, of_new, old, outputs[name], rows, count)
                for name, of_new in of_targets.items()
            }

    def _of_target(self, name: str, of_new: Any, old: Remembered, output: Any, rows: Any, count: Any) -> Any:
        loss = self._losses[name]
        of_old = loss.value(old.targets[name], output, old.weight)
        apart = self._apart(name, output, old)
        if loss.adds_up:
            return of_new + tf.sign(count) * of_old + count * apart
        return (rows * of_new + count * (of_old + apart)) / (rows + count)

    def _apart(self, name: str, output: Any, old: Remembered) -> Any:
        """Return how far outputs are from those stored, times the factors of distillation and of the target."""
        if self._distill is None:
            return tf.constant(0.0)
        compared = self._compared[name]
        squares = tf.square(compared(tf.cast(output, tf.float32)) - compared(old.outputs[name]))
        return self._distill * self._losses[name].weight * tf.reduce_mean(squares)


def _compared(loss: TargetLoss, activation: str) -> Callable[[Any], Any]:
    """Return the function from outputs to what is compared: logits, or values, in deviations if the loss is."""
    if isinstance(loss.keras, ScaledLoss):
        return partial(loss.keras.label_scale.scaled)
    of_logits = loss.link is not tf.identity
    if activation == "softmax":
        return _centred if of_logits else lambda output: _centred(tf.math.log(tf.maximum(output, _LEAST)))
    if activation == "sigmoid" and not of_logits:
        return _logits
    return partial(tf.identity)


def _centred(logits: Any) -> Any:
    """Return logits with a mean of 0: the same ones shifted give the same probabilities."""
    return logits - tf.reduce_mean(logits, axis=-1, keepdims=True)


def _logits(output: Any) -> Any:
    within = tf.clip_by_value(output, _LEAST, 1 - _LEAST)
    return tf.math.log(within) - tf.math.log1p(-within)
