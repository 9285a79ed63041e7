"""A category of any text or number, by its hash."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from learnd.daemon.stream.decoding.categories import HashReader
from learnd.daemon.stream.decoding.columns import ColumnReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.values import Column, ColumnKind

_LARGEST_INDEX = 2**24  # float32 holds every whole number up to this one


class HashSettings(FeatureSettings):
    """The keys of a hashed category."""

    hash: Annotated[int, Field(ge=2, le=_LARGEST_INDEX)] | None = None
    """A category of any text or number, by a hash into this many indices: the same in every process."""


class HashedFeature(FeatureKind[HashSettings]):
    """One column with an index in [0, hash)."""

    key = "hash"
    settings = HashSettings

    def columns(self, name: str, feature: HashSettings) -> Iterator[Column]:
        yield Column(name, ColumnKind.CATEGORY, feature.hash or 0)

    def reader(self, feature: HashSettings, texts: Texts) -> ColumnReader:
        return HashReader(feature.hash or 0, texts, feature.default)

    def takes(self, default: Default, feature: HashSettings) -> bool:  # noqa: ARG002
        return not isinstance(default, list)


KIND = HashedFeature()
