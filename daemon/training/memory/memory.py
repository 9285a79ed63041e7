"""A memory of the stream: samples that are kept, to train again beside new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from learnd.daemon.training.memory.places import DRAWS, Balanced, Offer, Places, Reservoir, Ring, write
from learnd.daemon.training.runtime import keras, tf
from learnd.daemon.training.settings import MemorySettings
from learnd.daemon.values import Facts, SampleSpec

_OF_CLASSES = ("binary", "classes")
_MOST_CLASSES = 20  # that are counted one by one for metrics


class Remembered(NamedTuple):
    """Samples as they were when they were new, (n, ...) each."""

    inputs: Mapping[str, Any]
    targets: Mapping[str, Any]
    outputs: Mapping[str, Any]  # what the model gave before it trained on them; empty without distillation
    weight: Any  # in the loss


class Memory:
    """The samples, and counts of those offered, held and drawn; all of it variables, which a call may change.

    What is drawn depends on the seed and on the number of updates tried so far, what is kept on that of samples
    offered, so neither on how updates are grouped into calls. Skipped updates count as tried: the next one draws
    others, since what was drawn may be why it was skipped.
    """

    def __init__(self, settings: MemorySettings, spec: SampleSpec, seed: int) -> None:
        self._settings, self._seed, self._task = settings, seed, spec.targets[0].task
        self._first = spec.targets[0].name
        size = settings.size
        with keras.name_scope("memory"):
            self._places = _places(settings, spec)
            self._inputs = {
                part.name: _rows(f"input_{part.name}", size, part.shape, part.dtype) for part in spec.inputs
            }
            self._targets = {
                part.name: _rows(f"target_{part.name}", size, part.task.label_shape) for part in spec.targets
            }
            self._outputs = {
                part.name: _rows(f"output_{part.name}", size, part.task.output_shape)
                for part in (spec.targets if settings.distill is not None else ())
            }
            self._weight = _rows("weight", size, ())
            self._counts = _rows("counts", 4, (), "int64")  # samples offered, held and drawn, updates tried

    @property
    def variables(self) -> list[Any]:
        """What an update changes."""
        kept = [*self._inputs.values(), *self._targets.values(), *self._outputs.values(), self._weight]
        return [*kept, self._counts, *self._places.variables]

    @property
    def kind(self) -> str:
        """Which samples are kept, as `train.memory.kind` names it: where a balanced one has no classes, a reservoir."""
        return self._places.kind

    @property
    def offered(self) -> Any:
        """How many samples were offered so far, traced."""
        return self._counts.value[0]

    def drawn(self, otherwise: Remembered) -> tuple[Remembered, Any]:
        """Return `per_update` samples, drawn evenly with replacement from those that are held, and how many they count.

        If none is held, they are the first of `otherwise`, and count 0.
        """
        _, held, _, tried = tf.unstack(self._counts.value)
        places = self._random(2 * tried, self._settings.per_update) % tf.maximum(held, 1)
        some = held > 0

        def rows(variable: Any, other: Any) -> Any:
            return tf.where(some, tf.gather(variable.value, places), other[:1])

        found = Remembered(
            {name: rows(variable, otherwise.inputs[name]) for name, variable in self._inputs.items()},
            {name: rows(variable, otherwise.targets[name]) for name, variable in self._targets.items()},
            {name: tf.gather(variable.value, places) for name, variable in self._outputs.items()},
            rows(self._weight, otherwise.weight),
        )
        return found, self._settings.per_update * tf.cast(some, tf.float32)

    def keep(self, new: Remembered, good: Any) -> None:
        """Offer the samples of an update, in their order. If it was not `good`, it counts as tried, and that is all."""
        rows = new.weight.shape[0]
        offered, held, drawn, tried = tf.unstack(self._counts.value)
        drawn += tf.where(tf.logical_and(good, held > 0), tf.cast(self._settings.per_update, tf.int64), 0)
        self._counts.assign(tf.stack([offered, held, drawn, tried + 1]))
        if rows == 1:
            self._offer(new, 0, good)
            return

        def body(row: Any) -> Any:
            self._offer(new, row, good)
            return row + 1

        count = tf.shape(new.weight)[0]
        tf.while_loop(lambda row: row < count, body, (tf.constant(0),), parallel_iterations=1)

    def facts(self) -> Facts:
        """Return how many samples are held, by class if the memory is balanced and they are few, and how many it gave.

        The classes have the names of the task, or their indices if the stream tells the names.
        """
        _, held, drawn, _ = map(int, self._counts.numpy())
        by_class = {"all": held}
        if isinstance(self._places, Balanced) and self._places.classes <= _MOST_CLASSES:
            names = self._task.names or map(str, range(self._places.classes))
            by_class = dict(zip(names, self._places.held.tolist(), strict=True))
        return {"held": by_class, "replayed": drawn}

    def _offer(self, new: Remembered, row: Any, good: Any) -> None:
        offered, _, drawn, tried = tf.unstack(self._counts.value)
        label = tf.reshape(new.targets[self._first][row], (-1,))[0]
        offer = Offer(offered, label, self._random(2 * offered + 1, DRAWS))
        place = self._places.place(offer, good)
        taken = tf.logical_and(good, place >= 0)
        kept = (self._inputs, new.inputs), (self._targets, new.targets), (self._outputs, new.outputs)
        for variables, values in kept:
            for name, variable in variables.items():
                write(variable, place, values[name][row], taken)
        write(self._weight, place, new.weight[row], taken)
        after = [offered + 1, tf.minimum(offered + 1, self._settings.size), drawn, tried]
        self._counts.assign(tf.where(good, tf.stack(after), self._counts.value))

    def _random(self, number: Any, count: int) -> Any:
        """Return (count,) random int64 that depend on the seed and a number alone."""
        seed = tf.stack([tf.cast(self._seed, tf.int64), number])
        return tf.random.stateless_uniform((count,), seed, None, None, tf.int64, alg="philox")


def _places(settings: MemorySettings, spec: SampleSpec) -> Places:
    task = spec.targets[0].task
    if settings.kind == "ring":
        return Ring(settings.size)
    if settings.kind == "balanced" and task.kind in _OF_CLASSES and not task.shape:
        return Balanced(settings.size, max(task.outputs, 2))
    return Reservoir(settings.size)


def _rows(name: str, size: int, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    return keras.Variable(tf.zeros((size, *shape), dtype), trainable=False, dtype=dtype, name=name.replace("/", "_"))
