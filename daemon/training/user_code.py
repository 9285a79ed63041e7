"""Functions of the user's own modules, which the settings name."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

from learnd.daemon.errors import ModelError


def call_function(key: str, given: Path, returns: str, *arguments: Any) -> Any:
    """Call the function `module:function` or `file.py:function`, in the folder of the settings file or elsewhere.

    Return what it returns, which messages call `returns`. It gets the arguments if it takes any. `key` is that of the
    settings. Raises ModelError.
    """
    module_name, _, function_name = given.name.partition(":")
    _look_in(given.parent, at_first=module_name.endswith(".py"))
    module_name = module_name.removesuffix(".py")
    try:
        function = _function(key, module_name, function_name, given.parent, returns)
        return function(*arguments) if inspect.signature(function).parameters else function()
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"{key}: {given.name} failed with {type(error).__name__}: {error}\n"
            f"  {place_of(error, module_name)}Nothing was trained. Fix the function and start again."
        ) from error


def place_of(error: BaseException, module_name: str) -> str:
    """Return where in the user's own module an error comes from, for the start of a sentence; empty if it is not."""
    module = sys.modules.get(module_name)
    own = getattr(module, "__file__", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f"at {frames[-1].filename}:{frames[-1].lineno}. " if frames else ""


def _look_in(folder: Path, *, at_first: bool) -> None:
    """Let Python find modules in the current folder, and in this one: before others, or if no other has the module."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    if at_first:
        sys.path.insert(0, str(folder))
    elif str(folder) not in sys.path:
        sys.path.append(str(folder))


def _function(key: str, module_name: str, function_name: str, folder: Path, returns: str) -> Any:
    """Return the function of that name. Raises ModelError if there is none, and what its module raises."""
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the missing module is one that the user's module imports
        raise ModelError(
            f"{key}: there is no module {error.name!r}, neither in the current folder ({Path.cwd()}), nor beside "
            f"the settings file ({folder}), nor among the installed packages. Nothing was trained. Give the path of "
            f"its file, as in models/network.py:{function_name}, or set PYTHONPATH."
        ) from error
    if not hasattr(module, function_name):
        raise ModelError(
            f"{key}: {module.__file__} has no function {function_name!r}. Nothing was trained. Correct the name."
        )
    function = getattr(module, function_name)
    if not callable(function):
        raise ModelError(
            f"{key}: {function_name!r} in {module.__file__} is not a function but {type(function).__name__}. "
            f"Nothing was trained. Name a function that returns {returns}."
        )
    return function
