"""A category by a list of its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from learnd.daemon.stream.decoding.categories import ListedReader, listed
from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.tasks.label import Scalar
from learnd.daemon.values import Column, ColumnKind


class ListedSettings(FeatureSettings):
    """The keys of a listed category."""

    values: Annotated[list[Scalar], Field(min_length=1, max_length=100_000)] | None = None
    """A category given by a list of its values. Index 0 stands for any other value."""

    unknown: Literal["other", "reject"] = "other"
    """What happens with a value that is not listed: it gets index 0, or the record is rejected. With `reject`, index
    0 is that of the first value."""


class ListedFeature(FeatureKind[ListedSettings]):
    """One column with the index of the value in the list; index 0 is kept for all others unless they are rejected."""

    key = "values"
    settings = ListedSettings

    def columns(self, name: str, feature: ListedSettings) -> Iterator[Column]:
        values = feature.values or []
        yield Column(name, ColumnKind.CATEGORY, len(values) + (feature.unknown == "other"), tuple(map(str, values)))

    def reader(self, feature: ListedSettings, texts: Texts) -> ColumnReader:
        values, default = feature.values or [], feature.default
        if feature.unknown == "reject":
            return ListedReader(listed(values), Reason.UNKNOWN_VALUE, texts, default=default)
        return ListedReader(listed(values, first=1), Reason.UNKNOWN_VALUE, texts, default=default, other=0.0)

    def takes(self, default: Default, feature: ListedSettings) -> bool:
        if isinstance(default, list):
            return False
        return feature.unknown == "other" or default in (feature.values or [])

    def problems(self, feature: ListedSettings) -> Iterator[str]:
        values = feature.values or []
        if len(set(map(str, values))) != len(values):
            yield "values: list each value once"


KIND = ListedFeature()
