"""A number, a whole number, or true and false."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator

from learnd.daemon.foundation.section import did_you_mean
from learnd.daemon.stream.decoding.categories import BooleanReader
from learnd.daemon.stream.decoding.columns import LARGEST_FLOAT32, ColumnReader
from learnd.daemon.stream.decoding.defects import Reason
from learnd.daemon.stream.decoding.numbers import NumberReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.features.contract import Default, FeatureKind, FeatureSettings
from learnd.daemon.values import Column, ColumnKind

TypeName = Literal["float", "integer", "boolean"]
_TYPES = get_args(TypeName)


def _with_ways_out(value: Any) -> Any:
    """Raises ValueError for a word that is no type, nor nearly one: other tools have types for text and times."""
    if isinstance(value, str) and value not in _TYPES and not did_you_mean(value, _TYPES):
        raise ValueError(
            f"must be {' or '.join(_TYPES)}, not {value!r}; for text, write {{values: [a, b]}} or {{hash: 1000}}, "
            "or {text: {length: 100, hash: 10000}} for many words, for a time {timestamp: [hour, weekday]}, for a "
            "list of numbers {vector: 8}"
        )
    return value


class NumberSettings(FeatureSettings):
    """The keys of a number."""

    type: Annotated[TypeName | None, BeforeValidator(_with_ways_out, json_schema_input_type=TypeName | None)] = None
    """A number (`float`), a whole number (`integer`), or true and false (`boolean`, 0 and 1 included)."""


class NumberFeature(FeatureKind[NumberSettings]):
    """One column with the number as it is."""

    key = "type"
    settings = NumberSettings

    def columns(self, name: str, feature: NumberSettings) -> Iterator[Column]:
        yield Column(name, ColumnKind.NUMBER, two_values=feature.type == "boolean")

    def reader(self, feature: NumberSettings, texts: Texts) -> ColumnReader:
        default: Any = feature.default
        if feature.type == "boolean":
            return BooleanReader(Reason.WRONG_TYPE, texts, default)
        return NumberReader(texts, whole=feature.type == "integer", default=default)

    def takes(self, default: Default, feature: NumberSettings) -> bool:
        if feature.type == "boolean":
            return default in (0, 1)
        if isinstance(default, bool | str | list) or not in_range(default):
            return False
        return feature.type == "float" or float(default) % 1 == 0


def in_range(number: float) -> bool:
    """Whether a number stays finite as float32."""
    return abs(number) <= LARGEST_FLOAT32


KIND = NumberFeature()
