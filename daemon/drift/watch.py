"""All drift detectors, sample by sample: what they find is a function of the stream."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from learnd.daemon.drift.distribution import DistributionWatch
from learnd.daemon.drift.sequential import Finding, SequentialWatch
from learnd.daemon.drift.settings import DISTRIBUTIONS, GIVEN, DriftWatch
from learnd.daemon.drift.signals import Signals, chosen_columns, evenly_spaced, given_with
from learnd.daemon.foundation.counters import Counters, running_sum
from learnd.daemon.tasks.contract import ErrorRange
from learnd.daemon.tasks.scoring import scoring_of
from learnd.daemon.values import Call, Event, Float32, Float64, SampleSpec, State

_Watch: TypeAlias = SequentialWatch | DistributionWatch
_BEGINNING = 1_000  # samples at the start, whose mean error is the scale of unbounded errors


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What a look at a call before it ran has found: each watch as it is behind the call, and its findings."""

    first: int
    rows: int
    seen: Mapping[int, tuple[DistributionWatch, list[Finding]]]


class Drift:
    """Reports each drift once, as an event, in the order of the samples. For the loop's thread only."""

    def __init__(self, settings: Sequence[DriftWatch], spec: SampleSpec) -> None:
        self._settings, self._spec = tuple(settings), spec
        self._names = tuple(column.name for column in spec.columns)
        self._tells_time = tuple(column.clock for column in spec.columns)
        self._named = {
            "features": self._names,
            "predictions": _numbered("output", [target.task.output_shape for target in spec.targets]),
            "labels": _numbered("label", [target.task.label_shape for target in spec.targets]),
        }
        self._columns = [
            chosen_columns(spec.columns, watch.columns)
            if watch.watch == "features"
            else evenly_spaced([*range(len(self._named.get(watch.watch, ())))])
            for watch in settings
        ]
        self._watches = [self._make(index) for index in range(len(self._settings))]
        self._ahead: _Ahead | None = None
        self._scale = _Scale() if scoring_of(spec.task).error_range is ErrorRange.UNBOUNDED else None

    @property
    def clocks(self) -> list[str]:
        """The columns that tell the time, and that are not watched unless somebody names them."""
        watches = zip(self._settings, self._columns, strict=True)
        watched = {column for watch, columns in watches if watch.watch == "features" for column in columns}
        return [name for index, name in enumerate(self._names) if self._tells_time[index] and index not in watched]

    def ahead(self, call: Call) -> list[Event]:
        """Return the drifts in what a call brings along, before it runs: `scan` gives them again."""
        self._ahead = None
        watched = [index for index, watch in enumerate(self._settings) if watch.watch in GIVEN]
        if not watched:
            return []
        tables, counts = given_with(self._spec, call), call.first + 1 + np.arange(call.samples)
        seen: dict[int, tuple[DistributionWatch, list[Finding]]] = {}
        for index in watched:
            looking = self._watches[index]
            assert isinstance(looking, DistributionWatch), "no other detector watches what comes with a call"
            looking = looking.fork()
            seen[index] = looking, looking.scan(self._chosen(index, tables[self._settings[index].watch]), counts)
        self._ahead = _Ahead(call.first, call.samples, seen)
        return self._events({index: found for index, (_, found) in seen.items()})

    def feature_distances(self) -> dict[str, dict[str, float]]:
        """Return how far each feature was from its reference, by detector, when a window was last full."""
        found: dict[str, dict[str, float]] = {}
        for watch, looking in zip(self._settings, self._watches, strict=True):
            if watch.watch == "features" and isinstance(looking, DistributionWatch):
                for name, distance in looking.distances.items():
                    found.setdefault(name, {})[watch.detector] = distance
        return found

    def scan(self, signals: Signals, updates: slice, samples: int) -> list[Event]:
        """Take in some updates of a call; `samples` went through updates before them. Return the drifts in them."""
        if not self._watches:
            return []
        rows_an_update = len(signals.error) // signals.updates
        rows = slice(updates.start * rows_an_update, updates.stop * rows_an_update)
        counts = samples + 1 + np.arange(rows.stop - rows.start)
        error = signals.error[rows] if self._scale is None else self._scale.apply(signals.error[rows])
        ahead, self._ahead = self._ahead, None
        seen = ahead.seen if ahead is not None and (ahead.first, ahead.rows) == (samples, len(counts)) else {}
        found: dict[int, list[Finding]] = {}
        for index, watch in enumerate(self._settings):
            looking = self._watches[index]
            if index in seen:
                self._watches[index], found[index] = seen[index]
            elif isinstance(looking, DistributionWatch):
                found[index] = looking.scan(self._chosen(index, signals.table(watch.watch)[rows]), counts)
            elif watch.watch == "error":
                found[index] = looking.scan(error, counts)
            else:
                found[index] = looking.scan(signals.loss[updates], counts[rows_an_update - 1 :: rows_an_update])
        return self._events(found)

    def _events(self, found: Mapping[int, Sequence[Finding]]) -> list[Event]:
        """Return what the watches found, in the order of the samples."""
        events = []
        for index, findings in found.items():
            watch = self._settings[index]
            for count, level, data in findings:
                about = {"signal": watch.watch, "level": level, "detector": watch.detector, **data}
                events.append(Event("drift.unwatched" if level == "unsteady" else "drift", count, about))
        return sorted(events, key=lambda event: event.samples)

    def state(self) -> State:
        parts = {str(index): watch.state() for index, watch in enumerate(self._watches)}
        if self._scale is not None:
            parts["scale"] = self._scale.state()
        return State.joined(parts, {"watches": [watch.model_dump(mode="json") for watch in self._settings]})

    def restore(self, state: State) -> None:
        """Continue from `state`. A watch whose settings have changed since then starts over.

        Raises StateMismatchError, and changes nothing, if the columns or the detector of a watch do not fit.
        """
        watches = [self._make(index) for index in range(len(self._settings))]
        for settings, watch, before in zip(self._settings, watches, self._watches, strict=True):
            if isinstance(watch, DistributionWatch) and isinstance(before, DistributionWatch):
                watch.look_on_from(before)
            if (dumped := settings.model_dump(mode="json")) in state.facts["watches"]:
                watch.restore(state.part(str(state.facts["watches"].index(dumped))))
        if self._scale is not None and "scale" in state.facts:
            self._scale.restore(state.part("scale"))
        self._watches, self._ahead = watches, None

    def _make(self, index: int) -> _Watch:
        settings = self._settings[index]
        if settings.detector in DISTRIBUTIONS:
            return DistributionWatch(settings, self._columns_of(index))
        return SequentialWatch(settings)

    def _columns_of(self, index: int) -> tuple[str, ...]:
        names = self._named[self._settings[index].watch]
        return tuple(names[column] for column in self._columns[index])

    def _chosen(self, index: int, table: Float32) -> Float32:
        """Return the columns that a watch looks at."""
        columns = self._columns[index]
        return table if len(columns) == table.shape[1] else table[:, columns]


def _numbered(word: str, shapes: Sequence[tuple[int, ...]]) -> tuple[str, ...]:
    """Return names for all numbers of tensors of these shapes, side by side."""
    return tuple(f"{word} {index}" for index in range(sum(map(math.prod, shapes))))


class _Scale(Counters):
    """Scales unbounded errors to between 0 and 1: the error divided by the sum of itself and the initial mean error."""

    def __init__(self) -> None:
        super().__init__(seen=np.zeros(2))  # sum, count

    def apply(self, errors: Float64) -> Float64:
        """Return the scaled errors; NaN for the first `_BEGINNING`."""
        missing = _BEGINNING - int(self.arrays["seen"][1])
        if missing <= 0:
            return _scaled(errors, self.arrays["seen"][0] / _BEGINNING)
        finite = np.flatnonzero(np.isfinite(errors))[:missing]
        total = running_sum(self.arrays["seen"][:1], errors[finite, None])[-1, 0]
        self.arrays["seen"] = np.array([total, self.arrays["seen"][1] + len(finite)])
        scaled = np.full_like(errors, np.nan)
        if len(finite) == missing:
            rest = slice(int(finite[-1]) + 1, None)
            scaled[rest] = _scaled(errors[rest], total / _BEGINNING)
        return scaled


def _scaled(errors: Float64, scale: float) -> Float64:
    whole = errors + scale
    return np.divide(errors, whole, out=np.zeros_like(errors), where=whole > 0)
