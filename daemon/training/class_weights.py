"""How much the samples of a class weigh in the loss: as the settings say, or so that all classes weigh the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.foundation.counters import earlier_alike
from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.training.settings import ClassWeight
from learnd.daemon.values import Float32, Int64, Samples, Task, known_before

_PRIOR = 10  # as often as every class is taken to have come before the first sample
_LARGEST = 1000  # of the balanced factors: a class that first comes after millions of others would drown them all

_USUAL_WORDS = ("no", "yes", "false", "true")  # that a plain binary label takes, too

ClassOf = Callable[[str], int | None]
"""The index of the class that a word stands for; None if it stands for none."""


class ClassWeights:
    """Factors for the weights of samples in the loss, in the order of the stream.

    Balanced ones are n / (k n_c), so that each of k classes has the same part in the loss. n samples came before, n_c
    of them of the class c, and each class as if it had come ten times: the first weights are 1, and those of a rare
    class grow as samples of others come, up to 1,000. If classes are learnt, k are those that came, the sample's
    own included.
    Source of the formula: King, Zeng, "Logistic regression in rare events data" (2001).

    `counts` are the samples of each class so far, skipped updates included; of none if the weights are not balanced.
    """

    def __init__(self, given: ClassWeight | None, task: Task) -> None:
        """`given` has no problems with the task."""
        self._learnt = task.learnt
        self._balanced = given == "balanced"
        self._given: Float32 | None = None
        if isinstance(given, dict):
            self._given = np.array([given.get(name, 1.0) for name in task.names], np.float32)
        self.counts: Int64 = np.zeros(max(task.outputs, 2) if self._balanced else 0, np.int64)

    def restore(self, counts: Sequence[int]) -> None:
        """Go on from counts; from none if the weights were not balanced before."""
        self.counts = np.array(counts, np.int64) if len(counts) == len(self.counts) else np.zeros_like(self.counts)

    def factors(self, batches: Samples, size: int) -> Float32 | None:
        """Return the factors of K batches, (size, B), and count their labels. None if classes are not weighed."""
        if self._given is None and not self._balanced:
            return None
        (labels,) = batches.targets.values()
        indices = labels[..., 0].astype(np.int64)
        factors = np.ones((size, indices.shape[1]), np.float32)
        factors[: len(indices)] = self._balance(indices) if self._given is None else self._given[indices]
        return factors

    def _balance(self, labels: Int64) -> NDArray[np.float64]:
        """Return the factor of each label, of the same shape, and count the labels."""
        flat = labels.ravel()
        of_class = self.counts[flat] + earlier_alike(flat)
        every = self.counts.sum() + np.arange(len(flat))
        classes = self._classes(flat)
        self.counts = self.counts + np.bincount(flat, minlength=len(self.counts))
        factors: Any = (every + _PRIOR * classes) / (classes * (of_class + _PRIOR))
        return np.asarray(np.minimum(factors, _LARGEST).reshape(labels.shape))

    def _classes(self, labels: Int64) -> Int64:
        """Return the number of classes at each label."""
        if not self._learnt:
            return np.full(len(labels), len(self.counts))
        came = int(known_before(np.flatnonzero(self.counts), 0)[-1])
        return known_before(labels, came)[1:]


def with_names(given: ClassWeight | None, task: Task, class_of: ClassOf) -> ClassWeight | None:
    """Return weights that have no problems by the names that the task has for the classes."""
    if not isinstance(given, dict):
        return given
    indices = {word: class_of(word) for word in given}
    return {task.names[index]: given[word] for word, index in indices.items() if index is not None}


def problems_with_class_weight(given: ClassWeight | None, task: Task, class_of: ClassOf) -> Iterator[str]:
    """Yield why the weights do not fit the task."""
    if given is None:
        return
    if task.kind not in ("binary", "classes") or task.shape:
        of = f"{task.kind} task with a shape" if task.shape else f"{task.kind} task"
        yield f"train.class_weight: a {of} has no classes to weigh; to weigh samples, use samples.weight"
    elif isinstance(given, dict) and task.learnt:
        yield "train.class_weight: classes that are learnt have no names yet; use balanced, or list the classes"
    elif isinstance(given, dict):
        yield from _problems_with_words(given, task, class_of)


def _problems_with_words(words: Iterable[str], task: Task, class_of: ClassOf) -> Iterator[str]:
    by_class: dict[int, list[str]] = defaultdict(list)
    known = dict.fromkeys((*task.names, *(usual for usual in _USUAL_WORDS if class_of(usual) is not None)))
    for word in words:
        if (index := class_of(word)) is None:
            yield f"train.class_weight.{word}: there is no such class{meant_or_known(word, known)}"
        else:
            by_class[index].append(word)
    for index, alike in by_class.items():
        if len(alike) > 1:
            yield f"train.class_weight: {' and '.join(alike)} are the same class, {task.names[index]}; keep one of them"
