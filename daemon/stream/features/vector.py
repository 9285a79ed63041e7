"""A list of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.vectors import VectorReader
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.stream.features.number import in_range
from learnd.daemon.values import Column, ColumnKind


class VectorSettings(FeatureSettings):
    """The keys of a vector."""

    vector: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """A list of exactly this many numbers. In CSV: a JSON list, or numbers separated by spaces."""


class VectorFeature(FeatureKind[VectorSettings]):
    """A column for each of the numbers."""

    key = "vector"
    settings = VectorSettings

    def columns(self, name: str, feature: VectorSettings) -> Iterator[Column]:
        yield from (Column(f"{name}.{index}", ColumnKind.NUMBER) for index in range(feature.vector or 0))

    def reader(self, feature: VectorSettings, texts: Texts) -> ColumnReader:
        default = feature.default if isinstance(feature.default, list) else None
        return VectorReader(feature.vector or 0, texts, default)

    def takes(self, default: Default, feature: VectorSettings) -> bool:
        return isinstance(default, list) and feature.vector == len(default) and all(map(in_range, default))


KIND = VectorFeature()
