"""A time: how far the hour, the day or the year has run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.times import CyclicReader
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.values import Column, ColumnKind

TimePart = Literal["minute", "hour", "weekday", "day_of_month", "day_of_year", "month"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso"]


class TimestampSettings(FeatureSettings):
    """The keys of a time."""

    timestamp: Annotated[list[TimePart], Field(min_length=1)] | None = None
    """A time, as the sine and cosine of the share of the hour, day, week, month or year that has passed (in UTC)."""

    unit: TimeUnit = "auto"
    """Of a timestamp: `s`, `ms`, `us` or `ns` since 1970, or `iso` text. `auto`: text is ISO 8601, a number seconds."""


class TimestampFeature(FeatureKind[TimestampSettings]):
    """Two columns for each part: the sine and cosine of a full turn."""

    key = "timestamp"
    settings = TimestampSettings

    def columns(self, name: str, feature: TimestampSettings) -> Iterator[Column]:
        for part in feature.timestamp or ():
            for function in ("sin", "cos"):
                yield Column(f"{name}.{part}.{function}", ColumnKind.NUMBER, clock=True)

    def reader(self, feature: TimestampSettings) -> ColumnReader:
        return CyclicReader(feature.unit, feature.timestamp or ())

    def takes(self, default: Default, feature: TimestampSettings) -> bool:  # noqa: ARG002
        return False  # a record without its time cannot be repaired


KIND = TimestampFeature()
