"""Hedge with a fixed share (Herbster and Warmuth 1998): what each of several predictions counts, by how good it was.

With the loss l of each member for its prediction before an update, its share s becomes

    s exp(-.5 min(w l, 20)), divided by the sum over all members, then .999 s + .001 / members

so that one which was of no use can come back. w is the weight of the sample in the loss. Those of a batch are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.training.losses import ScaledLoss, TargetLoss, unscaled
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.values import SampleSpec

_SPEED, _MOST_LOSS, _SHARED = 0.5, 20.0, 0.001
_RECENT = 0.001  # the least weight of an update in the mean of the least errors
_TINY = 1e-12


def shift(shares: Any, losses: Any, weight: Any) -> None:
    """Give the members with the smaller losses (B, members) larger shares, given the weight (B,) of each sample.

    A loss that is no number is a large one.
    """
    losses = tf.where(tf.math.is_finite(losses), losses, _MOST_LOSS)
    total = tf.reduce_sum(tf.minimum(weight[:, tf.newaxis] * losses, _MOST_LOSS), axis=0)
    found = shares.value * tf.exp(-_SPEED * (total - tf.reduce_min(total)))
    found /= tf.reduce_sum(found)
    shares.assign((1 - _SHARED) * found + _SHARED / found.shape[0])


def surprise(least: Any, errors: Any) -> Any:
    """Return squared errors (B, members) as losses in no unit, .5 error² / (2 m), and count them.

    m is the running mean of the least error of all members. `least` is a variable (2,): m, and the count. An error that
    is no number is a large one.
    """
    errors = tf.where(tf.math.is_finite(errors), errors, errors.dtype.max)
    mean, count = tf.unstack(least.value)
    share = tf.maximum(1 / (count + 1), _RECENT)
    mean += share * (tf.reduce_mean(tf.reduce_min(errors, axis=1)) - mean)
    least.assign(tf.stack([mean, count + 1]))
    return 0.5 * errors / tf.maximum(2 * mean, _TINY)


class Hedge:
    """A prediction with the weights and one with their averages, mixed by their shares.

    What the model gives is mixed: probabilities, values, or logits if the loss takes those. There is one pair of
    shares: the losses of several targets are added, each with its weight in the loss. That of a target is the loss that
    trains, of a regression `surprise`. All methods are traced.
    """

    members = ("weights", "averages")

    def __init__(self, losses: Mapping[str, TargetLoss], spec: SampleSpec) -> None:
        self._losses = losses
        numbers = [target.name for target in spec.targets if KINDS[target.task.kind].last_activation == "linear"]
        with keras.name_scope("hedge"):
            self.shares = _kept("shares", [1 / len(self.members)] * len(self.members))
            self._least = {name: _kept(f"least_{name}", [0.0, 0.0]) for name in numbers}

    @property
    def variables(self) -> list[Any]:
        """What `follow` changes."""
        return [self.shares, *self._least.values()]

    def mixed(self, *said: Mapping[str, Any]) -> dict[str, Any]:
        """Return the mean of what the members say for each target (B, C), float32, each by its share."""
        shares = tf.unstack(self.shares.value)
        return {
            name: tf.add_n([share * tf.cast(one[name], tf.float32) for share, one in zip(shares, said, strict=True)])
            for name in said[0]
        }

    def follow(self, *said: Mapping[str, Any], targets: Mapping[str, Any], weight: Any) -> None:
        """Shift the shares by what the members said before an update. `weight` (B,) is that in the loss."""
        losses = tf.add_n([self._of_target(name, [one[name] for one in said], targets[name]) for name in self._losses])
        shift(self.shares, losses, weight)

    def _of_target(self, name: str, said: list[Any], labels: Any) -> Any:
        """Return the loss (B, members) for one target, given what members say (B, C) and the labels (B, O)."""
        loss, outputs = self._losses[name], [tf.cast(one, tf.float32) for one in said]
        if name in self._least:
            scaled = loss.keras.label_scale.scaled if isinstance(loss.keras, ScaledLoss) else tf.identity
            errors = [tf.square(scaled(output) - scaled(labels)) for output in outputs]
            found = surprise(
                self._least[name], tf.stack([_of_samples(one, tf.shape(labels)[0]) for one in errors], axis=1)
            )
        else:
            given = loss.labels(labels)
            each = [unscaled(loss.keras).call(given, output) for output in outputs]
            found = tf.stack([_of_samples(one, tf.shape(labels)[0]) for one in each], axis=1)
        return loss.weight * found


def _kept(name: str, values: list[float]) -> Any:
    return keras.Variable(values, trainable=False, dtype="float32", name=name)


def _of_samples(values: Any, rows: Any) -> Any:
    """Return the loss of each sample (B,), of a loss that gives one value for all, or several for each."""
    values = tf.cast(values, tf.float32)
    if values.shape.rank == 0:
        return tf.fill((rows,), values)
    return tf.reduce_mean(tf.reshape(values, (rows, -1)), axis=1)
