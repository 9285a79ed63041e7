"""A time: how far the hour, the day or the year has run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.times import CyclicReader
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.values import Column, ColumnKind

TimePart = Literal["minute", "hour", "weekday", "day_of_month", "day_of_year", "month"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns", "iso"]


def _is_date_format(text: str) -> str:
    """Raises ValueError unless the format can read a day of its own writing."""
    day = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
    if "%" not in text or datetime.strptime(day.strftime(text), text).year not in {2001, 1900}:  # noqa: DTZ007
        raise ValueError(f"{text!r} is no format of strptime, such as %d.%m.%Y")
    return text


DateFormat = Annotated[str, AfterValidator(_is_date_format)]


class TimestampSettings(FeatureSettings):
    """The keys of a time."""

    timestamp: Annotated[list[TimePart], Field(min_length=1)] | None = None
    """A time, as the sine and cosine of the share of the hour, day, week, month or year that has passed (in UTC)."""

    unit: TimeUnit = "auto"
    """Of a timestamp: `s`, `ms`, `us` or `ns` since 1970, or `iso` text. `auto`: text is ISO 8601, a number seconds."""

    date_format: DateFormat | None = None
    """Of a timestamp that is neither: how its text is written, for Python's `strptime`, such as `%d.%m.%Y`."""


class TimestampFeature(FeatureKind[TimestampSettings]):
    """Two columns for each part: the sine and cosine of a full turn."""

    key = "timestamp"
    settings = TimestampSettings

    def columns(self, name: str, feature: TimestampSettings) -> Iterator[Column]:
        for part in feature.timestamp or ():
            for function in ("sin", "cos"):
                yield Column(f"{name}.{part}.{function}", ColumnKind.NUMBER, clock=True)

    def reader(self, feature: TimestampSettings, texts: Texts) -> ColumnReader:
        return CyclicReader(feature.unit, feature.timestamp or (), texts, feature.date_format)

    def problems(self, feature: TimestampSettings) -> Iterator[str]:
        if feature.date_format is not None and feature.unit != "auto":
            yield "date_format: give either it or unit"

    def takes(self, default: Default, feature: TimestampSettings) -> bool:  # noqa: ARG002
        return False  # a record without its time cannot be repaired


KIND = TimestampFeature()
