"""The scores of the model and of its baselines over the same samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.evaluation.metrics import METRICS, Scores, kappa_temporal, label_tally, probability_tallies
from learnd.daemon.foundation.counters import Counters
from learnd.daemon.values import Arrays, Facts, Float32, State, Task, TaskKind


def observe(task: Task, outputs: Float32, labels: Float32) -> Arrays:
    """Return what a scoreboard needs of predictions (m, C) and labels (m, O), as columns of m rows.

    `label`, `predicted`, `probability` (of label 1, of each label, or of the class that came; none of a regression),
    and `scored`: whether the prediction is finite. Where it is not, the other columns hold zeros in its place.
    """
    scored: NDArray[np.bool_] = np.ones(len(outputs), np.bool_)
    finite = np.isfinite(outputs)
    if not finite.all():
        scored = np.logical_and.reduce(finite, axis=1)
        outputs = np.where(scored[:, None], outputs, np.float32(0))
    if task.kind == TaskKind.REGRESSION:
        return {"label": labels, "predicted": outputs, "scored": scored}
    if task.kind == TaskKind.CLASSES:
        label = labels[:, 0].astype(np.int32)
        probability = outputs[np.arange(len(label)), label]
        predicted = outputs.argmax(axis=1).astype(np.int32)
        return {"label": label, "predicted": predicted, "probability": probability, "scored": scored}
    if task.kind == TaskKind.BINARY:
        outputs, labels = outputs[:, 0], labels[:, 0]
    probability = np.minimum(np.maximum(outputs, np.float32(0)), np.float32(1))
    return {"label": labels > 0.5, "predicted": probability > 0.5, "probability": probability, "scored": scored}


class Scoreboard:
    """Counts of the model and of the named baselines, and the scores that follow from them."""

    def __init__(self, task: Task, baselines: Iterable[str], metrics: Iterable[str] | None) -> None:
        self._wanted = tuple(name for name in METRICS[task.kind] if metrics is None or name in metrics)
        self._model = label_tally(task)
        self._probabilities = probability_tallies(task)
        self._baselines = {name: label_tally(task) for name in baselines}
        self._rows = Counters(scored=np.zeros(1, np.int64), unscored=np.zeros(1, np.int64))
        self._parts: dict[str, Counters] = {
            "rows": self._rows,
            "model": self._model,
            **self._probabilities,
            **self._baselines,
        }

    @property
    def scored(self) -> int:
        """Samples with a finite prediction."""
        return int(self._rows.arrays["scored"][0])

    @property
    def unscored(self) -> int:
        """Samples whose prediction is not finite: they count in no score."""
        return int(self._rows.arrays["unscored"][0])

    def add(self, rows: Arrays, *, first: bool) -> None:
        """Count rows of `observe` with a column for each baseline beside them.

        `first`: the first row is the first sample of all, before which the baselines had nothing to go by.
        """
        count = len(rows["label"])
        scored = int(np.count_nonzero(rows["scored"]))
        guessed = slice(int(first and count > 0 and bool(rows["scored"][0])), None)
        if scored < count:
            rows = {name: column[rows["scored"]] for name, column in rows.items()}
        self._rows.arrays["scored"] += scored
        self._rows.arrays["unscored"] += count - scored
        label = rows["label"]
        self._model.add(rows["predicted"], label)
        for tally in self._probabilities.values():
            tally.add(rows["probability"], label)
        for name, tally in self._baselines.items():
            tally.add(rows[name][guessed], label[guessed])

    def scores(self) -> Scores:
        """Return the metrics of the model that are defined and wanted."""
        scores = self._model.scores()
        for tally in self._probabilities.values():
            scores |= tally.scores()
        before = self._baselines["no_change"].scores() if "no_change" in self._baselines else {}
        temporal = kappa_temporal(scores.get("accuracy"), before.get("accuracy"))
        return self._choose(scores if temporal is None else {**scores, "kappa_temporal": temporal})

    def baselines(self) -> dict[str, Scores]:
        """Return the metrics of each baseline that are defined and wanted."""
        return {name: self._choose(tally.scores()) for name, tally in self._baselines.items()}

    def summary(self) -> Facts:
        """Return all of it, as a published score carries it."""
        return {
            "scored": self.scored,
            "unscored": self.unscored,
            "metrics": self.scores(),
            "baselines": self.baselines(),
        }

    def state(self) -> State:
        return State.joined({name: part.state() for name, part in self._parts.items()})

    def restore(self, state: State) -> None:
        """Go on from `state`. Raises StateMismatchError if it is of another task."""
        for name, part in self._parts.items():
            part.restore(state.part(name))

    def _choose(self, scores: Scores) -> Scores:
        return {name: scores[name] for name in self._wanted if name in scores}
