"""Compares windows of columns with a reference: population stability index and Kolmogorov-Smirnov distance."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal, Self

import numpy as np

from learnd.daemon.drift.sequential import Finding, Level
from learnd.daemon.drift.settings import DriftWatch
from learnd.daemon.errors import StateMismatchError
from learnd.daemon.values import Arrays, Facts, Float32, Float64, Int64, State

_QUANTILES = np.linspace(0, 1, 11)
_CHANCE_INDEX = 49.0  # chi-squared with 11 degrees of freedom exceeds it once in a million times
_CHANCE_DISTANCE = float(np.sqrt(np.log(2e6) / 2))
_AT_ONCE = 1 << 16  # values that are compared: what comes of them stays in the processor's cache
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
        self._latest: Float64 | None = None  # the distance of each column in the last full window

    @property
    def distances(self) -> dict[str, float]:
        """The distance of each column in the last full window, for those who only look; empty before the first."""
        return {} if self._latest is None else dict(zip(self._names, np.round(self._latest, 4).tolist(), strict=True))

    def look_on_from(self, other: DistributionWatch) -> None:
        """Take over the distances of another watch, which are no part of the state."""
        self._latest = other._latest

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
            taken, reports = self._take(rows[start:])
            start += taken
            found += [(int(counts[start - 1]), level, data) for level, data in reports]
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

    def _take(self, rows: Float32) -> tuple[int, list[tuple[Level, Facts]]]:
        """Take in the first of some rows, up to a report. Return how many, and what is reported behind them."""
        window = self._settings.window
        if self._reference is not None and not self._held and len(rows) >= window:
            return self._compare(self._reference, rows[: len(rows) // window * window])
        wanted = self._settings.reference if self._reference is None else window
        rows = rows[: wanted - self._held]
        self._rows.append(rows.copy())
        self._held += len(rows)
        return len(rows), self._full() if self._held == wanted else []

    def _full(self) -> list[tuple[Level, Facts]]:
        rows = self._gathered()
        self._rows, self._held = [], 0
        if self._reference is not None:
            return self._compare(self._reference, rows)[1]
        self._reference = binned(rows) if self._settings.detector == "psi" else np.sort(rows, axis=0)
        return self._unsteady(self._reference, rows)

    def _compare(self, reference: Float32, rows: Float32) -> tuple[int, list[tuple[Level, Facts]]]:
        """Compare full windows with the reference, up to a report. Return how many rows these are, and the report."""
        distances = np.where(self._steady, self._distances(reference, rows), 0)
        levels = np.searchsorted(self._thresholds(), distances, side="right")
        self._latest = distances[-1]
        if not (levels.any() or self._levels.any()):
            return len(rows), []
        for number in range(len(levels)):
            if reports := self._reports(distances[number], levels[number]):
                self._latest = distances[number]
                return (number + 1) * self._settings.window, reports
        return len(rows), []

    def _distances(self, reference: Float32, rows: Float32) -> Float64:
        """Return the distances (windows, columns) of full windows one behind the other."""
        measure = stability_index if self._settings.detector == "psi" else kolmogorov_smirnov
        windows = rows.reshape(-1, self._settings.window, rows.shape[1])
        most = max(1, _AT_ONCE // windows[0].size)
        return np.concatenate([measure(reference, windows[at : at + most]) for at in range(0, len(windows), most)])

    def _unsteady(self, reference: Float32, rows: Float32) -> list[tuple[Level, Facts]]:
        """Find the columns of which a window within the reference differs from the whole as a later one may not."""
        window = self._settings.window
        if self._settings.watch != "features" or self._settings.columns or len(rows) < 2 * window:
            return []
        largest = self._distances(reference, rows[: len(rows) // window * window]).max(axis=0)
        self._steady = largest < self._thresholds()[0]
        named = {name: round(float(by), 4) for name, by in zip(self._names, largest, strict=True)}
        unsteady = {name: by for (name, by), steady in zip(named.items(), self._steady, strict=True) if not steady}
        return [("unsteady", {"columns": unsteady})] if unsteady else []

    def _reports(self, distances: Float64, levels: Int64) -> list[tuple[Level, Facts]]:
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
    return np.concatenate((edges, _counts(edges, rows[None])[:, 0].astype(np.float32)))


def stability_index(reference: Float32, windows: Float32) -> Float64:
    """Return the population stability index of each column in each of some windows: (windows, rows, columns) gives
    (windows, columns). It is the sum of (p - q) ln(p / q) over the bins of `binned`.

    Source: Siddiqi, Credit Risk Scorecards, 2006. An empty bin counts as half a row, so that the logarithm is defined.
    """
    edges, expected = reference[: len(_QUANTILES)], reference[len(_QUANTILES) :].astype(np.float64)
    rows = windows.shape[1]
    least = _LEAST_ROWS / rows
    p = np.maximum(_counts(edges, windows) / rows, least)
    q = np.maximum(expected / expected.sum(axis=0), least)[:, None]
    index: Float64 = np.zeros(p.shape[1:])
    for term in (p - q) * np.log(p / q):  # one after the other: NumPy's sum adds in an order that the shape decides
        index += term
    return index


def kolmogorov_smirnov(reference: Float32, windows: Float32) -> Float64:
    """Return the largest distance between the distribution functions of the reference, whose columns are sorted, and of
    each column in each of some windows: (windows, rows, columns) gives (windows, columns).

    A largest distance is at a value of the window, or just below one: elsewhere, only the reference's function rises.
    """
    distances = np.zeros((len(windows), windows.shape[2]))
    for window, column in np.ndindex(distances.shape):
        old, new = reference[:, column], np.sort(windows[window, :, column])
        at, below = ([_share(each, new, side) for each in (old, new)] for side in ("right", "left"))
        distances[window, column] = max(np.abs(at[0] - at[1]).max(), np.abs(below[0] - below[1]).max())
    return distances


def _share(values: Float32, of: Float32, side: Literal["left", "right"]) -> Float64:
    """Return the share of sorted values that are up to each `of` some (right), or below it (left)."""
    share: Float64 = np.searchsorted(values, of, side=side) / len(values)
    return share


def _counts(edges: Float32, windows: Float32) -> Int64:
    """Return the number of rows in each bin of each window: (edges + 1, windows, columns)."""
    columns = np.ascontiguousarray(windows.swapaxes(1, 2))
    above = np.packbits(columns > edges[:, None, :, None], axis=3)  # eight comparisons per byte
    counts = np.bitwise_count(above).sum(axis=3, dtype=np.int64)
    all_rows, none = np.full((1, *counts.shape[1:]), windows.shape[1]), np.zeros((1, *counts.shape[1:]), np.int64)
    beyond = np.concatenate((all_rows, counts, none))
    within: Int64 = beyond[:-1] - beyond[1:]
    return within
