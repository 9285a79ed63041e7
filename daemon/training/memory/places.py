"""Where in the memory a sample goes: which of those that are held it takes the place of, if any.

All of it is traced. Random numbers come in from outside, as whole numbers, so that they depend on a count alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from learnd.daemon.training.runtime import keras, tf

DRAWS = 3
"""How many random numbers a place takes."""

_NOWHERE = -1


class Offer(NamedTuple):
    """A sample for the memory."""

    seen: Any  # how many samples were offered before it, int64
    label: Any  # the first column of its first target
    draws: Any  # (DRAWS,) int64, each equally likely


class Places(Protocol):
    """Keeps what it needs in `variables`, and changes it only for an offer that is `good`."""

    kind: str
    """Its name in the settings."""

    @property
    def variables(self) -> list[Any]: ...

    def place(self, offer: Offer, good: Any) -> Any:
        """Return the place of a sample, int64, or a negative number if it is not kept."""


class Ring:
    """The latest samples."""

    kind = "ring"

    def __init__(self, size: int) -> None:
        self._size = size

    variables: list[Any] = []  # noqa: RUF012  (it has none)

    def place(self, offer: Offer, good: Any) -> Any:  # noqa: ARG002
        return offer.seen % self._size


class Reservoir:
    """Samples that are drawn evenly from all of the stream so far (algorithm R: Vitter 1985)."""

    kind = "reservoir"

    def __init__(self, size: int) -> None:
        self._size = size

    variables: list[Any] = []  # noqa: RUF012  (it has none)

    def place(self, offer: Offer, good: Any) -> Any:  # noqa: ARG002
        drawn = offer.draws[0] % (offer.seen + 1)
        place = tf.where(offer.seen < self._size, offer.seen, drawn)
        return tf.where(place < self._size, place, tf.cast(_NOWHERE, tf.int64))


class Balanced:
    """As many samples of each class as come, up to an equal part, those of a class drawn evenly from all of it so far:
    the class-balancing reservoir of Chrysakis and Moens (Online Continual Learning from Imbalanced Data, ICML 2020).

    Once the memory is full, a sample of a class that was never the largest takes the place of one of the largest. A
    sample of another class c takes the place of one of its class, with the probability held_c / seen_c.
    """

    kind = "balanced"

    def __init__(self, size: int, classes: int) -> None:
        self._size, self.classes = size, classes
        counts, labels = tf.zeros((3, classes), tf.int64), tf.fill((size,), _NOWHERE)
        self._counts = keras.Variable(counts, trainable=False, dtype="int64", name="counts")
        self._labels = keras.Variable(labels, trainable=False, dtype="int32", name="labels")

    @property
    def variables(self) -> list[Any]:
        return [self._counts, self._labels]

    @property
    def held(self) -> Any:
        """Return how many samples of each class are held, as an array."""
        return self._counts.numpy()[1]

    def place(self, offer: Offer, good: Any) -> Any:
        label = tf.cast(offer.label, tf.int32)
        own = self._one_hot(label)
        seen, held, ever_largest = tf.unstack(self._counts.value)
        full = offer.seen >= self._size
        most = tf.reduce_max(held)
        ever_largest = tf.where(tf.logical_and(full, held == most), tf.ones_like(held), ever_largest)
        seen += own
        of_own = tf.reduce_sum(ever_largest * own) > 0  # whether it takes the place of one of its own class
        kept = offer.draws[0] % tf.reduce_sum(seen * own) < tf.reduce_sum(held * own)
        loser = tf.where(of_own, label, tf.argmax(held, output_type=tf.int32))
        one_of = self._one_of(loser, offer.draws[1:])
        place = tf.where(full, tf.where(tf.logical_or(~of_own, kept), one_of, _NOWHERE), tf.cast(offer.seen, tf.int32))
        taken = tf.cast(place >= 0, tf.int64)
        held += taken * (own - tf.where(full, self._one_hot(loser), tf.zeros_like(own)))
        self._counts.assign(tf.where(good, tf.stack([seen, held, ever_largest]), self._counts.value))
        write(self._labels, place, label, tf.logical_and(good, place >= 0))
        return tf.cast(place, tf.int64)

    def _one_hot(self, label: Any) -> Any:
        return tf.one_hot(label, self.classes, dtype=tf.int64)

    def _one_of(self, label: Any, draws: Any) -> Any:
        """Return one of the places of a class, each as likely as the others: that with the least hash."""
        factor, shift = tf.unstack(tf.cast(draws, tf.uint32))
        mixed = (tf.cast(tf.range(self._size), tf.uint32) + shift) * (2 * factor + 1)
        mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 15)) * 0x2C1B3C6D
        mixed = tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 12))
        return tf.argmin(tf.where(self._labels.value == label, mixed, tf.uint32.max), output_type=tf.int32)


def write(variable: Any, place: Any, row: Any, taken: Any) -> None:
    """Set one row of a variable, if it is taken. All others stay where they are: they are not copied.

    The row before is gathered: for a slice, XLA would compile the whole loop anew for each value of the counts.
    """
    at = tf.maximum(place, 0)
    new = tf.where(taken, tf.cast(row, variable.dtype), tf.gather(variable.value, at))
    variable.value.scatter_nd_update([[at]], new[tf.newaxis])
