"""How settings name an action."""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from learnd.daemon.actions.contract import Action
from learnd.daemon.foundation.section import Section, meant_or_known


class ActionChoice(Section):
    """One action: its name, or `{name: {argument: value}}`."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in cls.model_fields:
                raise ValueError(f"unknown action {value!r}{meant_or_known(value, cls.model_fields)}")
            value = {value: {}}
        if isinstance(value, dict):
            return {name: {} if given is None else given for name, given in value.items()}
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"name one action per entry: {', '.join(type(self).model_fields)}")
        return self

    @property
    def name(self) -> str:
        return next(iter(self.model_fields_set))

    @property
    def action(self) -> Action:
        chosen: Action = getattr(self, self.name)
        return chosen
