"""The section `source`: one of the sources in the registry, by its name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo, create_model
from pydantic_core import CoreSchema, core_schema

from learnd.connectors.source_settings import SourceSettings
from learnd.daemon.foundation.section import Section, meant_or_known
from learnd.daemon.registry import SOURCES, resolve


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The name of a source and its settings: `{files: {path: clicks.jsonl}}` in the file."""

    name: str
    settings: SourceSettings

    @classmethod
    def parse(cls, value: Any) -> SourceChoice:
        """Read a mapping of one key. Raises ValueError if the name is not in the registry."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            value = {value: {}}
        if not isinstance(value, dict) or len(value) != 1:
            raise ValueError(f"name one source: {', '.join(SOURCES)}")
        name, given = next(iter(value.items()))
        if name not in SOURCES:
            raise ValueError(f"unknown source {name!r}{meant_or_known(str(name), SOURCES)}")
        model = _keyed(name)
        return cls(name, getattr(model.model_validate({name: {} if given is None else given}), name))

    def with_access_of(self, other: SourceChoice) -> SourceChoice:
        """Return this choice with the addresses and secrets of another one, if both name the same source."""
        if self.name != other.name:
            return self
        access = {key: getattr(other.settings, key) for key in self.settings.access}
        return SourceChoice(self.name, self.settings.model_copy(update=access))

    def _dump(self, info: SerializationInfo) -> dict[str, Any]:
        return {self.name: self.settings.model_dump(mode="json", by_alias=True, exclude_unset=info.exclude_unset)}

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        dump = core_schema.plain_serializer_function_ser_schema(cls._dump, info_arg=True)
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=dump)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"oneOf": [handler(_keyed(name).__pydantic_core_schema__) for name in SOURCES]}


@cache
def _keyed(name: str) -> type[Section]:
    """Return a model whose one key is the source's name, so that a problem is found at `source.<name>.<key>`."""
    fields: dict[str, Any] = {name: (resolve(SOURCES[name].settings), ...)}
    return create_model(f"{name.title()}Source", __base__=Section, **fields)
