"""Running averages of weights: what is behind the noise of single updates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from learnd.daemon.training.runtime import keras, tf


class RunningAverages:
    """The average of each of some weights (Polyak and Juditsky 1992), which counts all updates until it reaches back
    1 / (1 - `keep`) of them.

    With update t = 1, 2, ...: q = min(keep, t / (t + 9)), average = q average + (1 - q) w.
    """

    def __init__(self, weights: Sequence[Any], averages: Sequence[Any], updates: Any, keep: float) -> None:
        """`averages` are variables of the shapes of the weights, `updates` is a number, float32."""
        self.pairs = list(zip(weights, averages, strict=True))
        self._updates, self._keep = updates, keep

    @classmethod
    def of(cls, weights: Sequence[Any], keep: float) -> RunningAverages:
        """Return averages with variables of their own, which start from the weights."""
        with keras.name_scope("average"):
            averages = [
                keras.Variable(weight.numpy(), trainable=False, dtype=weight.dtype, name=weight.path.replace("/", "_"))
                for weight in weights
            ]
            updates = keras.Variable(0.0, trainable=False, dtype="float32", name="updates")
        return cls(weights, averages, updates, keep)

    @property
    def variables(self) -> list[Any]:
        """What `follow` changes."""
        return [*(average for _, average in self.pairs), self._updates]

    def follow(self) -> None:
        """Take the weights, as they are behind an update, into the averages."""
        updates = self._updates.value + 1
        kept = tf.minimum(self._keep, updates / (updates + 9))
        for weight, average in self.pairs:
            average.assign(average.value + tf.cast(1 - kept, average.dtype) * (weight.value - average.value))
        self._updates.assign(updates)


@contextmanager
def averaged(pairs: Iterable[tuple[Any, Any]]) -> Iterator[None]:
    """Let weights be their averages within the block."""
    raw = [(weight, weight.numpy(), average) for weight, average in pairs]
    for weight, _, average in raw:
        weight.assign(average.value)
    try:
        yield
    finally:
        for weight, value, _ in raw:
            weight.assign(value)
