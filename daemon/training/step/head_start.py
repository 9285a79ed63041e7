"""The start of a stream, when samples are few: a mixture trains on the latest of them beside each update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnd.daemon.training.memory.memory import Memory, Remembered
from learnd.daemon.training.runtime import tf
from learnd.daemon.training.settings import MemorySettings
from learnd.daemon.training.step.ensemble import Ensemble
from learnd.daemon.values import SampleSpec

SAMPLES = 2_000
"""How long it lasts: later the stream itself has enough to say, and what was before may not hold any more."""

LATEST = MemorySettings(kind="ring", size=1_000, per_update=7, distill=None)
"""What trains again: so many an update, drawn from so many of the latest samples."""


class HeadStart:
    """Adds samples of before to the updates of the first `SAMPLES` samples.

    Each drawn sample counts as much as one of the update. It trains the networks that see a sample alone, by their own
    losses; it moves no share, average of labels or running statistic. Later on, an update skips all of it.
    """

    def __init__(self, spec: SampleSpec, seed: int) -> None:
        self.memory = Memory(LATEST, spec, seed)

    def keep(self, new: Remembered, good: Any) -> None:
        """Offer the samples of an update, as `Memory.keep` does, until it ends."""
        self.memory.keep(new, tf.logical_and(good, self.memory.offered < SAMPLES))

    def gradients(self, ensemble: Ensemble, new: Remembered, variables: Sequence[Any], optimizer: Any) -> list[Any]:
        """Return what the gradients of an update on the samples `new` have beside their own, zeros at the end of it."""

        def of_before() -> list[Any]:
            old, count = self.memory.drawn(new)
            rows = tf.cast(tf.shape(new.weight)[0], tf.float32)
            with tf.GradientTape() as tape:
                losses = ensemble.losses_alone(old.inputs, old.targets)
                loss = tf.sign(count) * tf.reduce_sum(losses * old.weight[:, tf.newaxis]) / rows
                descended = optimizer.scale_loss(loss)
            values = [variable.value for variable in variables]
            found = tape.gradient(descended, values, unconnected_gradients="zero")
            return [tf.convert_to_tensor(gradient) for gradient in found]

        return list(
            tf.cond(
                self.memory.offered < SAMPLES,
                of_before,
                lambda: [tf.zeros_like(variable.value) for variable in variables],
            )
        )
