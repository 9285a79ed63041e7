"""What is said with the predictions of one target, and how well it held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.contracts import Stateful
from learnd.daemon.evaluation.certainty.conformal import Conformal
from learnd.daemon.evaluation.certainty.deciding import Threshold
from learnd.daemon.evaluation.certainty.settings import CertaintySettings, DecideSettings, is_for
from learnd.daemon.evaluation.certainty.temperature import Temperature
from learnd.daemon.evaluation.ring import Ring
from learnd.daemon.tasks.calibration import CalibrationError
from learnd.daemon.tasks.known import among_known
from learnd.daemon.tasks.tallies import Scores, defined, ratio
from learnd.daemon.values import Arrays, Float32, Float64, Int64, Said, State, Task

_LEAST = 1e-7  # probability, as in the log loss
_NO_INTERVAL_IS_EMPTY, _SETS_MAY_BE = 0.0, -1.0  # the least thresholds


@dataclass(frozen=True, slots=True)
class _Given:
    """Predictions and labels as the parts need them."""

    values: Float64  # (m, O) of a regression; probabilities (m, C), of no and yes if the task is binary
    finite: NDArray[np.bool_]  # (m,)
    usable: NDArray[np.bool_]  # (m,): finite, and of a class that was known
    known: NDArray[np.bool_] | None = None  # (m, C) of classes that are learnt: which had come


class Certainty:
    """Learns from predictions that were made before the update what can be said with the next ones.

    Probabilities are calibrated first; sets and decisions are by what then is written. For classes, a score is 1 - the
    probability of the label: Sadinle, Lei, Wasserman, "Least ambiguous set-valued classifiers with bounded error
    levels" (2019). For a regression it is the distance of the label.
    """

    def __init__(self, settings: CertaintySettings, task: Task, windows: Iterable[int]) -> None:
        self._task, self._settings = task, settings
        self._regression = task.kind == "regression"
        self._ring = Ring(max(windows, default=0))
        self._conformal: Conformal | None = None
        self._temperature: Temperature | None = None
        self._threshold: Threshold | None = None
        if settings.coverage is not None and self._is_for("coverage"):
            least = _NO_INTERVAL_IS_EMPTY if self._regression else _SETS_MAY_BE
            self._conformal = Conformal(settings.coverage, task.outputs if self._regression else 1, least)
        if settings.calibrate is not None and self._is_for("calibrate"):
            self._temperature = Temperature()
        if settings.decide is not None and self._is_for("decide"):
            self._cost = settings.decide.cost if isinstance(settings.decide, DecideSettings) else None
            self._threshold = Threshold(self._cost)

    @property
    def anything(self) -> bool:
        """Whether anything is said at all."""
        return bool(self._parts())

    @property
    def keys(self) -> list[str]:
        """What is said beside a prediction: the keys that it is written under."""
        bounds = "interval" if self._regression else "set"
        every = {bounds: self._conformal, "class": self._threshold}
        return [key for key, part in every.items() if part is not None]

    def follow(self, outputs: Float32, labels: Float32, known: Int64 | None = None) -> Said:
        """Return what is said with predictions (m, C), before each of their labels (m, O), and learn the labels.

        If classes are learnt, `known` (m,) is how many of them had trained.
        """
        rows: Arrays = {}
        given = self._given(outputs, labels, known)
        truth = np.where(given.usable, labels[:, 0], 0).astype(np.int64)
        values, thresholds, edges = given.values, None, None
        if self._temperature is not None:
            values, rows["temperature"] = self._temperature.follow(_logits(given), truth, given.usable)
            values = _as_written(values)
        if self._conformal is not None:
            thresholds = self._conformal.follow(self._scores(given, values, labels, truth))
        if self._threshold is not None:
            edges = self._threshold.follow(values[:, 1], truth > 0, given.usable)
            rows["threshold"] = edges
        said = self._said(outputs, given, values, thresholds, edges)
        self._keep(rows, said, values, labels, truth, given.usable)
        return said

    def stand(self, outputs: Float32, known: int | None = None) -> Said:
        """Return what is said with predictions (m, C) without labels, of which nothing is learnt."""
        counts = None if known is None else np.full(len(outputs), known, np.int64)
        given = self._given(outputs, None, counts)
        values, thresholds, edges = given.values, None, None
        if self._temperature is not None:
            values = _as_written(self._temperature.stand(_logits(given)))
        if self._conformal is not None:
            thresholds = np.broadcast_to(self._conformal.stand(), (len(outputs), len(self._conformal.stand())))
        if self._threshold is not None:
            edges = np.full(len(outputs), self._threshold.threshold)
        return self._said(outputs, given, values, thresholds, edges)

    def window(self, size: int) -> Scores:
        """Return how well it held over the latest `size` samples, without what is undefined."""
        rows, found = self._ring.latest(size), Scores()
        if not rows:
            return found
        if self._conformal is not None:
            bounded, name = rows["bounded"], "width" if self._regression else "set_size"
            found |= defined(coverage=_mean(rows["covered"][bounded]), **{name: _mean(rows["size"][bounded])})
        rows = {name: column[rows["usable"]] for name, column in rows.items()}
        if not len(rows["usable"]):
            return found
        if self._temperature is not None:
            errors = CalibrationError()
            errors.add(rows["claimed"].astype(np.float32), rows["came"])
            found |= {"calibrated_log_loss": float(-np.log(np.maximum(rows["of_truth"], _LEAST)).mean())}
            found |= {"calibrated_ece": errors.scores()["ece"], "temperature": float(rows["temperature"][-1])}
        if self._threshold is not None:
            found |= {"threshold": float(rows["threshold"][-1]), **self._decided(rows)}
        return found

    def state(self) -> State:
        parts = {name: part.state() for name, part in self._parts().items()}
        return State.joined({**parts, "window": self._ring.state()}, {"of": self._of()})

    def restore(self, state: State) -> None:
        """Continue from `state`, or from nothing if it is of other settings or another task."""
        fresh = Certainty(self._settings, self._task, (self._ring.size,))
        if state.facts.get("of") == self._of():
            for name, part in {**fresh._parts(), "window": fresh._ring}.items():
                part.restore(state.part(name))
        self._conformal, self._temperature, self._threshold = fresh._conformal, fresh._temperature, fresh._threshold
        self._ring = fresh._ring

    def _is_for(self, key: str) -> bool:
        return is_for(key, self._task)

    def _of(self) -> list[Any]:
        return [self._settings.model_dump(mode="json"), self._task.kind, self._task.outputs]

    def _parts(self) -> dict[str, Stateful]:
        every = {"conformal": self._conformal, "temperature": self._temperature, "threshold": self._threshold}
        return {name: part for name, part in every.items() if part is not None}

    def _given(self, outputs: Float32, labels: Float32 | None, known: Int64 | None) -> _Given:
        usable = finite = _finite(outputs)
        come = None
        outputs = np.where(finite[:, None], outputs, np.float32(0))
        if self._regression:
            return _Given(outputs.astype(np.float64), finite, usable)
        if known is not None:
            outputs = among_known(outputs, known)
            usable = finite & ((labels[:, 0] < known) if labels is not None else (known > 0))
            come = np.arange(outputs.shape[1]) < known[:, None]
        values = np.clip(outputs.astype(np.float64), 0, 1)
        if self._task.kind == "binary":
            values = np.concatenate((1 - values, values), axis=1)
        return _Given(values, finite, usable, come)

    def _scores(self, given: _Given, values: Float64, labels: Float32, truth: Int64) -> Float64:
        """Return how strange each label is: (m, O) for a regression, (m, 1) for classes; NaN if nothing was predicted.

        A class that is new is in no set, whatever the threshold: it is infinitely strange.
        """
        if self._regression:
            return np.where(given.finite[:, None], np.abs(labels - values), np.nan)
        strange = np.where(given.usable, 1 - values[np.arange(len(truth)), truth], np.inf)
        return np.where(given.finite, strange, np.nan)[:, None]

    def _said(
        self,
        outputs: Float32,
        given: _Given,
        values: Float64,
        thresholds: Float64 | None,
        edges: Float64 | None,
    ) -> Said:
        written = outputs
        if self._temperature is not None:
            calibrated = values if self._task.kind == "classes" else values[:, 1:]
            written = np.where(np.isfinite(outputs), calibrated, outputs).astype(np.float32)
        low = high = members = decided = None
        bounded = given.finite
        if thresholds is not None:
            bounded = given.finite & ~np.isnan(thresholds).any(axis=1)
            if self._regression:
                low, high = values - thresholds, values + thresholds
            else:
                members = (1 - values <= thresholds) & (True if given.known is None else given.known)
        if edges is not None:
            decided = values[:, 1] >= edges
        return Said(written, self._task.names, given.finite, bounded, low, high, members, decided)

    def _keep(
        self, rows: Arrays, said: Said, values: Float64, labels: Float32, truth: Int64, usable: NDArray[np.bool_]
    ) -> None:
        rows["usable"] = usable
        rows["bounded"] = said.bounded
        if said.low is not None and said.high is not None:
            rows["covered"] = (said.low <= labels) & (labels <= said.high)
            rows["size"] = said.high - said.low
        elif said.members is not None:
            rows["covered"] = (usable & said.members[np.arange(len(truth)), truth])[:, None]
            rows["size"] = said.members.sum(axis=1, dtype=np.float64)[:, None]
        if self._temperature is not None:
            binary = self._task.kind == "binary"
            rows["of_truth"] = values[np.arange(len(truth)), truth]
            rows["claimed"] = values[:, 1] if binary else values.max(axis=1)
            rows["came"] = truth > 0 if binary else values.argmax(axis=1) == truth
        if said.decided is not None:
            rows |= {"decided": said.decided, "at_half": values[:, 1] > 0.5, "label": truth > 0}
        self._ring.add(rows)

    def _decided(self, rows: Arrays) -> Scores:
        """Return what the decisions of a window were worth: their F1, or their cost a sample, also of one half."""
        label = rows["label"]
        counts = {}
        for name in ("decided", "at_half"):
            false = rows[name] != label
            counts[name] = (int((false & ~label).sum()), int((false & label).sum()), int((rows[name] & label).sum()))
        if self._cost is None:
            positives, misses, hits = counts["decided"]
            return defined(decided_f1=ratio(2 * hits, 2 * hits + positives + misses))
        cost = self._cost
        each = {n: (cost.false_positive * fp + cost.false_negative * fn) for n, (fp, fn, _) in counts.items()}
        return {"cost": each["decided"] / len(label), "cost_at_half": each["at_half"] / len(label)}


def _finite(outputs: Float32) -> NDArray[np.bool_]:
    """Return of which samples (m,) all outputs (m, C) are finite."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(outputs), axis=1)
    return finite


def _logits(given: _Given) -> Float64:
    """Return logits (m, C) of probabilities; of classes that are learnt and have not come, -inf."""
    logits: Float64 = np.log(np.maximum(given.values, _LEAST))
    return logits if given.known is None else np.where(given.known, logits, -np.inf)


def _as_written(probabilities: Float64) -> Float64:
    """Return probabilities as they are written, of 32 bits: sets and decisions agree with what is read."""
    return probabilities.astype(np.float32).astype(np.float64)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
