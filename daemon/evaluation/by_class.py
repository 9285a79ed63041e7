"""What becomes of each class: how often it came, how often it was said, and what was said in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from learnd.daemon.tasks.tallies import defined, ratio
from learnd.daemon.values import Arrays, Facts


@dataclass(frozen=True, slots=True)
class OfClass:
    """How a class fared among the samples scored."""

    name: str
    came: int
    predicted: int
    hits: int

    @property
    def scores(self) -> dict[str, float]:
        """Precision, recall and F1, without those that would divide by 0."""
        return defined(
            precision=ratio(self.hits, self.predicted),
            recall=ratio(self.hits, self.came),
            f1=ratio(2 * self.hits, self.came + self.predicted),
        )

    def facts(self) -> Facts:
        return {**asdict(self), **self.scores}


class ByClass:
    """Counts pairs of a class that came and the one that was predicted, of a task with one label or with several; of
    labels that are tensors, those of all elements.
    """

    def __init__(self, *, of_elements: bool = False) -> None:
        self._of_elements = of_elements
        self._pairs: Counter[tuple[int, int]] = Counter()  # of one label: the class that came, the one predicted
        self._labels: Counter[tuple[int, str]] = Counter()  # of several labels at once

    def add(self, rows: Arrays) -> None:
        """Count rows: the columns of `scoreboard.observe`, of labels that are classes."""
        label, predicted = (rows[name][rows["scored"]] for name in ("label", "predicted"))
        if self._of_elements:
            label, predicted = label.ravel(), predicted.ravel()
        if label.ndim == 1:
            pairs, counts = np.unique(np.stack([label, predicted], axis=1).astype(int), axis=0, return_counts=True)
            self._pairs.update(dict(zip(map(tuple, pairs.tolist()), counts.tolist(), strict=True)))
            return
        for word, marked in (("came", label), ("predicted", predicted), ("hits", label & predicted)):
            counts = marked.sum(axis=0)
            self._labels.update({(index, word): int(counts[index]) for index in np.flatnonzero(counts).tolist()})

    def classes(self, name_of: Callable[[int], str]) -> list[OfClass]:
        """Return how each class fared that came or was predicted, in the order of their indices."""
        if self._labels:
            indices = sorted({index for index, _ in self._labels})
            words = ("came", "predicted", "hits")
            return [OfClass(name_of(index), *(self._labels[index, word] for word in words)) for index in indices]
        came, predicted = Counter[int](), Counter[int]()
        for (label, guess), count in self._pairs.items():
            came[label] += count
            predicted[guess] += count
        indices = sorted({*came, *predicted})
        return [OfClass(name_of(index), came[index], predicted[index], self._pairs[index, index]) for index in indices]

    def confusion(self, name_of: Callable[[int], str]) -> dict[str, dict[str, int]]:
        """Return, for each class that came, how often each was predicted for it; empty for several labels at once."""
        found: dict[str, dict[str, int]] = {}
        for (label, guess), count in sorted(self._pairs.items()):
            found.setdefault(name_of(label), {})[name_of(guess)] = count
        return found
