"""Keras objects from settings: a name, `{name: arguments}`, or a Keras configuration."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Callable
from typing import Any

from learnd.daemon.errors import SettingsError
from learnd.daemon.training.regenerative import RegenerativeRMSprop
from learnd.daemon.training.runtime import keras
from learnd.daemon.training.settings import KerasObject, PhaseSettings

_RATES = ("learning_rate", "initial_learning_rate", "end_learning_rate", "warmup_target")


def create_learning_rate(number: int, phase: PhaseSettings, default: Any) -> Any:
    """Return the learning rate of a phase: a number, or a Keras schedule. Raises SettingsError."""
    given = phase.learning_rate
    if isinstance(given, dict):
        return create(f"phases.{number}.learning_rate", given, keras.optimizers.schedules, _schedule)
    return default if given is None else float(given)


def _schedule(given: dict[str, Any]) -> Any:
    schedule = keras.optimizers.schedules.deserialize({"module": "keras.optimizers.schedules", **given})
    if not callable(schedule):
        raise TypeError("it is not one of keras.optimizers.schedules")
    return schedule


def create(place: str, given: KerasObject | Any, module: Any, get: Callable[[Any], Any] | None = None) -> Any:
    """Return the Keras object of `module` that the settings at a `place` describe. Raises SettingsError."""
    value = copy.deepcopy(given)  # Keras writes the objects it makes into the configuration it is given
    known = class_of(_name(given), module)
    try:
        with keras.saving.custom_object_scope(_missing_in_keras(known, module)):
            if isinstance(value, str):
                return _instance(module.get(known or value))
            if isinstance(value, dict) and "class_name" not in value:
                ((name, arguments),) = value.items()
                value = {"class_name": known or name, "config": arguments or {}}
            _as_floats(value)
            return (get or module.get)(value)
    except Exception as error:
        verdict = "is rejected by Keras" if known else "is not known to Keras"
        problem = f"{place}: {given!r} {verdict}{_suggestion(given, module)}: {error}. Nothing was trained."
        raise SettingsError([problem]) from error


def _missing_in_keras(name: str | None, module: Any) -> dict[str, Any]:
    """Return a class of Keras for its own look-up by name, which lacks some: Lamb."""
    return {name: getattr(module, name)} if name and hasattr(module, name) else {}


def _as_floats(value: Any) -> None:
    """Make whole numbers floats where Keras insists on it, or would compute in whole numbers: in rates."""
    for key, item in list(value.items()) if isinstance(value, dict) else ():
        if key in _RATES and type(item) is int:
            value[key] = float(item)
        elif key == "values" and isinstance(item, list):
            value[key] = [float(each) if type(each) is int else each for each in item]
        else:
            _as_floats(item)


def _instance(found: Any) -> Any:
    return found() if isinstance(found, type) else found


def class_of(name: str, module: Any) -> str | None:
    """Return the class of a Keras module called `name`, ignoring case and underscores: adam, binary_crossentropy."""
    wanted = name.replace("_", "").lower()
    if module is keras.optimizers and wanted == RegenerativeRMSprop.__name__.lower():
        return str(keras.saving.get_registered_name(RegenerativeRMSprop))
    return next((item for item in dir(module) if item[0].isupper() and item.lower() == wanted), None)


def _name(given: Any) -> str:
    """Return the name in the settings of a Keras object."""
    if isinstance(given, dict):
        return str(given.get("class_name") or next(iter(given), ""))
    return given if isinstance(given, str) else ""


def _suggestion(given: Any, module: Any) -> str:
    if class_of(_name(given), module) is not None:
        return ""
    names = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", item).lower() for item in dir(module) if item[0].isupper()]
    close = difflib.get_close_matches(_name(given).lower(), names, 1)
    return f" (did you mean {close[0]}?)" if close else ""
