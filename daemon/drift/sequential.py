"""Sequential detectors: River's, on errors and losses, one value at a time."""

from __future__ import annotations

from collections.abc import Mapping
from operator import length_hint
from typing import Any, Literal, TypeAlias

import numpy as np
from river import drift
from river.drift import binary

from learnd.daemon.drift.frozen import freeze, thaw
from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.foundation.counters import running_sum
from learnd.daemon.values import Facts, Float64, State

Level: TypeAlias = Literal["warning", "confirmed", "unsteady"]
Finding: TypeAlias = tuple[int, Level, Facts]
"""The sample, the level and the data of a drift."""

_RECENT = 100  # values whose mean tells whether a change is a rise
_DETECTORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "adwin": (drift.ADWIN, {}),
    "hddm_w": (binary.HDDMW, {}),
    "page_hinkley": (drift.PageHinkley, {"mode": "up"}),
    "kswin": (drift.KSWIN, {"seed": 7}),
    "ddm": (binary.DDM, {}),
}


def make_detector(name: str, arguments: Mapping[str, float]) -> Any:
    """Return a River detector. The settings have checked the arguments."""
    kind, usual = _DETECTORS[name]
    whole = {key: int(value) if float(value).is_integer() else value for key, value in arguments.items()}
    return kind(**{**usual, **whole})


class Rise:
    """A detector that reports only rises of the mean: a model that gets better is no drift."""

    def __init__(self, name: str, arguments: Mapping[str, float]) -> None:
        self._name, self._arguments = name, arguments
        self._detector = make_detector(name, arguments)
        self._recent: Float64 = np.zeros(0)
        self._seen = 0
        self._sum = 0.0

    def scan(self, values: Float64) -> tuple[list[tuple[int, Facts]], list[int]]:
        """Take in values. Return the index of each rise with the means around it, and the indices of warnings."""
        rises: list[tuple[int, Facts]] = []
        warnings: list[int] = []
        start = 0
        for index in self._detections(values, warnings):
            before, after = self._means(values[start : index + 1])
            if after > before:
                rises.append((index, {"mean_before": before, "mean_after": after}))
            self._forget()
            start = index + 1
        self._remember(values[start:])
        return rises, warnings

    def state(self) -> State:
        facts = {"seen": self._seen, "sum": self._sum, "detector": freeze(self._detector)}
        return State({"recent": self._recent.copy()}, facts)

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if it is of another detector."""
        self._detector = thaw(make_detector(self._name, self._arguments), state.facts["detector"])
        self._recent, self._sum, self._seen = state.arrays["recent"], state.facts["sum"], state.facts["seen"]

    def _detections(self, values: Float64, warnings: list[int]) -> list[int]:
        """Take in values; return the indices of changes, and add those of warnings."""
        if isinstance(self._detector, drift.ADWIN):
            return self._changes_of_adwin(values.tolist())
        found = []
        detector, update = self._detector, self._detector.update
        warns = hasattr(detector, "warning_detected")
        for index, value in enumerate(values.tolist()):
            update(value)
            if detector.drift_detected:
                found.append(index)
            elif warns and detector.warning_detected:
                warnings.append(index)
        return found

    def _changes_of_adwin(self, values: list[float]) -> list[int]:
        """Do as River does, but pass over its Python code around each value: that takes three times as long."""
        found, detector, left = [], self._detector, iter(values)
        while length_hint(left):
            if detector.drift_detected:  # the window starts over
                detector.update(next(left))
            elif any(map(detector._helper.update, left)):  # noqa: SLF001  (stops at the first change)
                detector._drift_detected = True  # noqa: SLF001  (River has no other way)
            if detector.drift_detected:
                found.append(len(values) - length_hint(left) - 1)
        return found

    def _means(self, values: Float64) -> tuple[float, float]:
        """Return two means since the last change: of the values before the recent ones, and of the recent ones."""
        self._remember(values)
        recent = float(running_sum(np.zeros(()), self._recent)[-1])
        older = self._seen - len(self._recent)
        after = recent / max(1, len(self._recent))
        return (self._sum - recent) / older if older else after, after

    def _remember(self, values: Float64) -> None:
        if len(values):
            self._sum = float(running_sum(np.array(self._sum), values)[-1])
            self._seen += len(values)
            self._recent = np.concatenate((self._recent, values))[-_RECENT:]

    def _forget(self) -> None:
        self._recent, self._seen, self._sum = np.zeros(0), 0, 0.0


class SequentialWatch:
    """Reports each rise of an error or a loss once: at most a warning, then a confirmed drift."""

    def __init__(self, settings: DriftWatch) -> None:
        self._settings = settings
        self._rises = _rises(settings)
        self._quiet_until = 0
        self._warned_until = 0

    def scan(self, values: Float64, counts: Any) -> list[Finding]:
        """Take in values; `counts` are the sample counts at each. Return the sample, level and data of drifts."""
        finite = np.isfinite(values)
        if not finite.all():
            values, counts = values[finite], counts[finite]
        rises, warnings = self._rises["confirm"].scan(values)
        found: list[Finding] = [(int(counts[i]), "confirmed", means) for i, means in rises]
        found += [(int(counts[i]), "warning", {}) for i in warnings]
        if (warn := self._rises.get("warn")) is not None:
            found += [(int(counts[i]), "warning", means) for i, means in warn.scan(values)[0]]
        found.sort(key=lambda drift: drift[0])
        return [drift for drift in found if self._is_new(*drift[:2])]

    def state(self) -> State:
        rises = {name: rise.state() for name, rise in self._rises.items()}
        return State.joined(rises, {"quiet_until": self._quiet_until, "warned_until": self._warned_until})

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if it is of other detectors."""
        rises = _rises(self._settings)
        for name, rise in rises.items():
            rise.restore(state.part(name))
        self._rises = rises
        self._quiet_until, self._warned_until = state.facts["quiet_until"], state.facts["warned_until"]

    def _is_new(self, samples: int, level: Level) -> bool:
        if samples < self._quiet_until or (level == "warning" and samples < self._warned_until):
            return False
        if level == "confirmed":
            self._quiet_until = samples + self._settings.quiet
        self._warned_until = samples + self._settings.quiet // 4
        return True


def _rises(settings: DriftWatch) -> dict[str, Rise]:
    """Return the detector that confirms drifts and, if there is one, the detector that only warns."""
    rises = {"confirm": Rise(settings.detector, settings.arguments)}
    if settings.warn is not None:
        rises["warn"] = Rise(settings.warn, settings.warn_arguments)
    return rises
