"""Compares windows of columns with a reference: population stability index and Kolmogorov-Smirnov distance."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from learnd.daemon.drift.sequential import Finding, Level
from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Facts, Float32, Float64, Int64, State

_QUANTILES = np.linspace(0, 1, 11)
_CHANCE_INDEX = 49.0  # chi-squared with 11 degrees of freedom exceeds it once in a million times
_CHANCE_DISTANCE = float(np.sqrt(np.log(2e6) / 2))
_LEAST_ROWS = 0.5  # count for an empty bin, so that the logarithm is defined


class DistributionWatch:
    """Compares each full window with the reference, column by column. Reports a column when its level rises.

    A feature that nobody named and that changes within the reference already, such as a counter, is not compared.
    """

    def __init__(self, settings: DriftWatch, names: Sequence[str]) -> None:
        self._settings = settings
        self._names = tuple(names)
        self._rows: list[Float32] = []  # of the window, or of the reference while it is being gathered
        self._held = 0
        self._reference: Float32 | None = None
        self._levels = np.zeros(len(names), np.int64)  # 0, 1 or 2: the level of each column as last reported
        self._steady = np.ones(len(names), np.bool_)  # whether a column is compared with the reference
        self.distances: dict[str, float] = {}  # of each column in the last full window, for those who only look

    def scan(self, rows: Float32, counts: Any) -> list[Finding]:
        """Take in rows (m, columns); `counts` are the sample counts at each. Return sample, level and data of drifts.

        Rows that are not finite are left out; predictions may be such.
        """
        if not (finite := np.isfinite(rows)).all():
            known = finite.all(axis=1)
            rows, counts = rows[known], counts[known]
        found: list[Finding] = []
        start = 0 if self._names else len(rows)
        while start < len(rows):
            taken = min(len(rows) - start, self._wanted - self._held)
            self._rows.append(rows[start : start + taken].copy())
            self._held += taken
            start += taken
            if self._held == self._wanted:
                found += [(int(counts[start - 1]), level, data) for level, data in self._full()]
        return found

    def fork(self) -> Self:
        """Return a watch that goes on from here, and leaves this one as it is."""
        other = copy(self)
        other._rows = list(self._rows)  # noqa: SLF001  (of this class; all else is replaced and never changed)
        return other

    def state(self) -> State:
        arrays: Arrays = {"rows": self._gathered(), "levels": self._levels.copy(), "steady": self._steady.copy()}
        if self._reference is not None:
            arrays["reference"] = self._reference.copy()
        return State(arrays)

    def restore(self, state: State) -> None:
        """Continue from `state`. Raises StateMismatchError, and changes nothing, if its columns differ."""
        arrays = state.arrays
        if len(arrays["levels"]) != len(self._names):
            raise StateMismatchError(
                f"drift state: {self._settings.watch} had {len(arrays['levels'])} columns when the checkpoint was made "
                f"and has {len(self._names)} now. Nothing was changed. Go back to the settings of that checkpoint."
            )
        self._rows, self._held = [arrays["rows"]], len(arrays["rows"])
        self._reference = arrays.get("reference")
        self._levels, self._steady = np.array(arrays["levels"]), np.array(arrays["steady"])

    @property
    def _wanted(self) -> int:
        return self._settings.reference if self._reference is None else self._settings.window

    def _full(self) -> list[tuple[Level, Facts]]:
        rows = self._gathered()
        self._rows, self._held = [], 0
        if self._reference is None:
            self._reference = binned(rows) if self._settings.detector == "psi" else np.sort(rows, axis=0)
            return self._unsteady(self._reference, rows)
        distances = np.where(self._steady, self._distances(self._reference, rows), 0)
        self.distances = dict(zip(self._names, np.round(distances, 4).tolist(), strict=True))
        return self._reports(distances)

    def _distances(self, reference: Float32, rows: Float32) -> Float64:
        measure = stability_index if self._settings.detector == "psi" else kolmogorov_smirnov
        return measure(reference, rows)

    def _unsteady(self, reference: Float32, rows: Float32) -> list[tuple[Level, Facts]]:
        """Find the columns of which a window within the reference differs from the whole as a later one may not."""
        window = self._settings.window
        if self._settings.watch != "features" or self._settings.columns or len(rows) < 2 * window:
            return []
        starts = range(0, len(rows) - window + 1, window)
        largest = np.max([self._distances(reference, rows[start : start + window]) for start in starts], axis=0)
        self._steady = largest < self._thresholds()[0]
        named = {name: round(float(by), 4) for name, by in zip(self._names, largest, strict=True)}
        unsteady = {name: by for (name, by), steady in zip(named.items(), self._steady, strict=True) if not steady}
        return [("unsteady", {"columns": unsteady})] if unsteady else []

    def _reports(self, distances: Float64) -> list[tuple[Level, Facts]]:
        levels = np.searchsorted(self._thresholds(), distances, side="right")
        if not (levels.any() or self._levels.any()):
            return []
        risen = levels > self._levels
        self._levels = np.where(levels == 0, 0, np.maximum(levels, self._levels))
        reports: list[tuple[Level, Facts]] = []
        for number, level in ((1, "warning"), (2, "confirmed")):
            if (columns := np.flatnonzero(risen & (levels == number))).size:
                named = {self._names[column]: round(float(distances[column]), 4) for column in columns}
                reports.append((level, {"columns": named}))  # type: ignore[arg-type]
        if (risen & (levels == 2)).any() and self._settings.renew:
            self._reference, self._levels = None, np.zeros_like(self._levels)
        return reports

    def _thresholds(self) -> Float64:
        """Return the distances for a warning and for a confirmed drift, raised so that chance seldom reaches them.

        Chance alone reaches the raised distance in one of a million short windows: by the index's chi-squared
        distribution (Yurdakul, Naranjo, Journal of Risk Model Validation 2020), or Smirnov's for the other distance.
        """
        rows = 1 / self._settings.reference + 1 / self._settings.window
        chance = _CHANCE_INDEX * rows if self._settings.detector == "psi" else _CHANCE_DISTANCE * np.sqrt(rows)
        thresholds: Float64 = np.maximum(self._settings.thresholds, chance)
        return thresholds

    def _gathered(self) -> Float32:
        return np.concatenate([np.zeros((0, len(self._names)), np.float32), *self._rows])


def binned(rows: Float32) -> Float32:
    """Return the edges between the tenths of each column, and the number of rows in each bin: (11 + 12, columns).

    The bins are the tenths, a bin up to the minimum, and a bin above the maximum, which holds new values.
    """
    edges = np.quantile(rows, _QUANTILES, axis=0, method="lower").astype(np.float32)
    return np.concatenate((edges, _counts(edges, rows).astype(np.float32)))


def stability_index(reference: Float32, rows: Float32) -> Float64:
    """Return the population stability index of each column: the sum of (p - q) ln(p / q) over the bins of `binned`.

    Source: Siddiqi, Credit Risk Scorecards, 2006. An empty bin counts as half a row, so that the logarithm is defined.
    """
    edges, expected = reference[: len(_QUANTILES)], reference[len(_QUANTILES) :].astype(np.float64)
    least = _LEAST_ROWS / len(rows)
    p = np.maximum(_counts(edges, rows) / len(rows), least)
    q = np.maximum(expected / expected.sum(axis=0), least)
    index: Float64 = ((p - q) * np.log(p / q)).sum(axis=0)
    return index


def kolmogorov_smirnov(reference: Float32, rows: Float32) -> Float64:
    """Return the largest distance between the distribution functions of each column; `reference` is sorted."""
    distances = np.zeros(rows.shape[1])
    for column in range(rows.shape[1]):
        old, new = reference[:, column], np.sort(rows[:, column])
        values = np.concatenate((old, new))
        shares = [np.searchsorted(each, values, side="right") / len(each) for each in (old, new)]
        distances[column] = np.abs(shares[0] - shares[1]).max()
    return distances


def _counts(edges: Float32, rows: Float32) -> Int64:
    """Return the number of rows in each bin, (edges + 1, columns)."""
    above = np.packbits(np.ascontiguousarray(rows.T) > edges[:, :, None], axis=2)  # eight comparisons per byte
    counts = np.bitwise_count(above).sum(axis=2, dtype=np.int64)
    ends = np.full((1, rows.shape[1]), len(rows)), np.zeros((1, rows.shape[1]), np.int64)
    beyond = np.concatenate((ends[0], counts, ends[1]))
    within: Int64 = beyond[:-1] - beyond[1:]
    return within
