"""The metrics of what the source holds, how far behind the training is, and how old what trained last is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge, Histogram

MOST_PARTITIONS = 100
OTHER_PARTITIONS = "other"

_FRESHNESS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 86_400)


def unknown_gauge(registry: CollectorRegistry, name: str, help_: str, *labels: str) -> Gauge:
    """Return a new gauge. It is NaN until it is set; one with labels has no values yet."""
    gauge = Gauge(f"learnd_{name}", help_, labels, registry=registry)
    if not labels:
        gauge.set(math.nan)
    return gauge


class SourceMetrics:
    """Refreshed about once a second, except for the times of events, which come with each call."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, help_: str) -> Gauge:
            return unknown_gauge(registry, name, help_)

        def by_partition(name: str, help_: str, fold: Callable[[list[float]], float]) -> _ByPartition:
            return _ByPartition(unknown_gauge(registry, name, help_, "partition"), fold)

        self._connected = gauge("source_connected", "1 if the source can be reached.")
        self._lags = {
            "records": by_partition("source_lag_records", "Records in the source that are still unread.", sum),
            "bytes": by_partition("source_lag_bytes", "Bytes in the source that are still unread.", sum),
        }
        self._seen_at = gauge(
            "source_lag_timestamp_seconds", "When it was last known what the source holds, in seconds since 1970."
        )
        self._margin = by_partition(
            "source_resume_margin_records",
            "Offsets from the oldest one in the source to that of the newest checkpoint; negative after a loss.",
            min,
        )
        self._unsaved = by_partition(
            "source_unsaved_records", "Offsets from that of the newest checkpoint to the end of the source.", sum
        )
        self._freshness = Histogram(
            "learnd_freshness_seconds", "Seconds from event to weights.", buckets=_FRESHNESS_BUCKETS, registry=registry
        )
        self._event_time = gauge(
            "trained_event_timestamp_seconds",
            "When the newest event that trained happened, in seconds since 1970; now at the latest.",
        )
        self._newest_event_s = -math.inf
        self._ahead = gauge(
            "event_clock_ahead_seconds", "How far the newest event of the latest call was ahead of the clock here."
        )

    def connected(self, connected: bool, now_s: float) -> None:
        """Whether the source can be reached at this time, in seconds since 1970."""
        self._connected.set(connected)
        if connected:
            self._seen_at.set(now_s)

    def lag(self, lags: Mapping[str, int], unit: Literal["records", "bytes"] = "records") -> None:
        """What is unread in each partition. Beyond the first hundred, by name, partitions are summed up as `other`.

        It is always present: a dashboard should show 0 if nothing is unread.
        """
        self._lags[unit].show(lags)

    def held(self, held: Mapping[str, tuple[int, int]], saved: Mapping[str, int]) -> None:
        """The source has `held`, from where to where, by partition; the newest checkpoint has these positions.

        Beyond the first hundred partitions, `other` has the least margin of them, and the sum of what is not saved.
        """
        both = held.keys() & saved.keys()
        self._margin.show({name: saved[name] - held[name][0] for name in both})
        self._unsaved.show({name: max(held[name][1] - saved[name], 0) for name in both})

    def event_trained(self, event_s: float, now_s: float) -> None:
        """The newest sample of a call is of an event at `event_s`, both in seconds since 1970.

        An event of the future is one of a clock that is wrong: it counts as an event of now, and how far it is ahead is
        a metric of its own.
        """
        self._freshness.observe(max(now_s - event_s, 0.0))
        self._ahead.set(max(event_s - now_s, 0.0))
        self._newest_event_s = max(self._newest_event_s, min(event_s, now_s))
        self._event_time.set(self._newest_event_s)


class _ByPartition:
    """A gauge of each partition. `fold` makes one value of those beyond the first hundred, by name."""

    def __init__(self, gauge: Gauge, fold: Callable[[list[float]], float]) -> None:
        self._gauge = gauge
        self._fold = fold
        self._shown: set[str] = set()

    def show(self, values: Mapping[str, float]) -> None:
        """Show these, and no others."""
        names = sorted(values)
        shown = {name: values[name] for name in names[:MOST_PARTITIONS]}
        rest = [values[name] for name in names[MOST_PARTITIONS:]]
        if rest or self._fold is sum:
            shown[OTHER_PARTITIONS] = self._fold(rest)
        for name in self._shown - set(shown):
            self._gauge.remove(name)
        for name, value in shown.items():
            self._gauge.labels(name).set(value)
        self._shown = set(shown)
