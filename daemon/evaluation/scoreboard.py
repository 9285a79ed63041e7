"""The scores of the model and of the baselines over the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.contracts import Stateful
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.foundation.counters import Counters
from learnd.daemon.tasks.calibration import CalibrationError
from learnd.daemon.tasks.known import among_known
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.tasks.tallies import Scores, ratio
from learnd.daemon.values import Arrays, Facts, Float32, Int64, State, Task


def observe(task: Task, outputs: Float32, labels: Float32, known: Int64 | None = None) -> Arrays:
    """Return what a scoreboard needs from predictions (m, ..., C) and labels (m, ..., O), as columns of m rows.

    These are the columns of `Scoring.observe`, and `scored`: whether the prediction is finite. The other columns treat
    predictions that are not finite as zeros. If classes are learnt, `known` (m,) is how many of them had trained: the
    others count for nothing, a label that is one of them has no probability, and without any there is no prediction.
    """
    scored: NDArray[np.bool_] = np.ones(len(outputs), np.bool_)
    finite = np.isfinite(outputs)
    if not finite.all():
        scored = np.logical_and.reduce(finite, axis=tuple(range(1, finite.ndim)))
        outputs = np.where(scored.reshape(-1, *[1] * (finite.ndim - 1)), outputs, np.float32(0))
    scoring = scoring_of(task)
    if known is None:
        return {**scoring.observe(outputs, labels), "scored": scored}
    rows = scoring.observe(among_known(outputs, known), labels)
    rows["probability"] = np.where(rows["label"] < known, rows["probability"], np.float32(np.nan))
    return {**rows, "scored": scored & (known > 0)}


class Scoreboard:
    """Counts for the model and for the named baselines, and the scores computed from them."""

    def __init__(self, task: Task, baselines: Iterable[str], metrics: Iterable[str] | None) -> None:
        kind = scoring_of(task)
        self._wanted = tuple(name for name in kind.metrics if metrics is None or name in metrics)
        self._model = kind.tally(task)
        self._probabilities = kind.probability_tallies()
        self._baselines = {name: kind.baseline_tally(task, name) for name in baselines}
        self._calibration = {"ece": CalibrationError()} if "ece" in kind.metrics else {}
        self._kind = kind
        self._rows = Counters(scored=np.zeros(1, np.int64), unscored=np.zeros(1, np.int64))
        self._parts: dict[str, Counters] = {
            "rows": self._rows,
            "model": self._model,
            **self._probabilities,
            **self._calibration,
            **self._baselines,
        }

    @property
    def scored(self) -> int:
        """Samples with a finite prediction."""
        return int(self._rows.arrays["scored"][0])

    @property
    def unscored(self) -> int:
        """Samples whose prediction is not finite. No score includes them."""
        return int(self._rows.arrays["unscored"][0])

    def add(self, rows: Arrays, *, first: bool) -> None:
        """Count rows: the columns of `observe`, and a column of predictions for each baseline, as `Scoring.kept` keeps
        them.

        `first` says that the first row is the first sample of all, for which the baselines had no earlier label.
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
        if (claims := self._kind.calibration(rows)) is not None:
            for errors in self._calibration.values():
                errors.add(*claims)
        for name, tally in self._baselines.items():
            tally.add(rows[name][guessed], label[guessed])

    def scores(self) -> Scores:
        """Return the wanted metrics of the model, without undefined ones."""
        scores = self._model.scores()
        for tally in (*self._probabilities.values(), *self._calibration.values()):
            scores |= tally.scores()
        before = self._baselines["no_change"].scores() if "no_change" in self._baselines else {}
        temporal = kappa_temporal(scores.get("accuracy"), before.get("accuracy"))
        return self._choose(scores if temporal is None else {**scores, "kappa_temporal": temporal})

    def baselines(self) -> dict[str, Scores]:
        """Return the wanted metrics of each baseline, without undefined ones."""
        return {name: self._choose(tally.scores()) for name, tally in self._baselines.items()}

    def summary(self) -> Facts:
        """Return all scores, in the form in which they are published."""
        return {
            "scored": self.scored,
            "unscored": self.unscored,
            "metrics": self.scores(),
            "baselines": self.baselines(),
        }

    def state(self) -> State:
        return State.joined({name: part.state() for name, part in self._parts.items()})

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if it is of another task."""
        restore_all(self._parts, state)

    def _choose(self, scores: Scores) -> Scores:
        return {name: scores[name] for name in self._wanted if name in scores}


def restore_all(parts: Mapping[str, Stateful], state: State) -> None:
    """Have each of the parts go on from a state that was joined of theirs.

    Raises StateMismatchError, and changes none of them, if one refuses.
    """
    before = {name: part.state() for name, part in parts.items()}
    try:
        for name, part in parts.items():
            part.restore(state.part(name) if name in state.facts else State())
    except StateMismatchError:
        for name, part in parts.items():
            part.restore(before[name])
        raise


def kappa_temporal(accuracy: float | None, no_change: float | None) -> float | None:
    """Return (p_0 - p'_e) / (1 - p'_e); p_0 is the accuracy, p'_e the accuracy of predicting the previous label.

    It is undefined if one of them is, or if the label never changed. Source: Bifet, Read, Žliobaitė, Pfahringer,
    Holmes, "Pitfalls in benchmarking data stream classification and how to avoid them" (2013).
    """
    if accuracy is None or no_change is None:
        return None
    return ratio(accuracy - no_change, 1 - no_change)
