"""From a settings file and overrides to `Settings`, or to every problem in them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from learnd.daemon.config import document as settings_yaml
from learnd.daemon.config.document import Document
from learnd.daemon.config.problems import Outline, describe, told
from learnd.daemon.config.settings import Settings
from learnd.daemon.config.source_choice import SourceChoice
from learnd.daemon.errors import SettingsError

_Value = TypeVar("_Value")


class _PathText(str):
    """A text that names a file."""

    __slots__ = ()


_DATA_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz", ".zst")


def load_settings(
    path: Path,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    further: Callable[[Settings], Sequence[str]] | None = None,
) -> Settings:
    """Read the file, put in the environment, lay over the overrides (`dotted.path=value`), check everything.

    A relative path in the file is relative to the file's folder; one in an override, to the current one.
    `further` looks for more problems, each beginning with its key, in settings that are sound by themselves.
    Raises SettingsError with every problem found, each at its line.
    """
    document = Document(str(path), environ)
    document.read(_text(path))
    for override in overrides:
        document.override(override)
    if document.data is None and not document.problems:
        raise SettingsError([f"{path}: the file is empty; `learnd init` writes one to start from"])
    outline = Outline(Settings.model_json_schema(by_alias=True))
    read_secrets(document.data, (), document, outline)
    settings = _validate(document, outline)
    settings = _anchored(settings, (), document, path.parent)
    if further is not None and (problems := further(settings)):
        raise SettingsError(_in_order([told(problem, document) for problem in problems], document))
    return settings


def _text(path: Path) -> str:
    if path.name.lower().endswith(_DATA_ENDINGS) and path.exists():
        raise SettingsError(
            [f"{path}: this is data by its name, not settings; `learnd init {path}` writes settings for it"]
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SettingsError([f"{path}: there is no such file; `learnd init` writes one to start from"]) from None
    except IsADirectoryError:
        raise SettingsError([f"{path}: this is a folder; name the settings file in it"]) from None
    except OSError as error:
        raise SettingsError([f"{path}: it cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsError([f"{path}:{line}: this is not UTF-8 text; save the file as UTF-8"]) from None


def _validate(document: Document, outline: Outline) -> Settings:
    """Return the settings. Problems of reading come with those of the values where there are values to check."""
    problems = list(document.problems)
    try:
        if isinstance(document.data, dict) or not problems:
            settings = Settings.model_validate(document.data)
    except ValidationError as error:
        problems += describe(error, document, outline)
    if problems:
        raise SettingsError(_in_order(problems, document))
    return settings


def _in_order(problems: Sequence[str], document: Document) -> list[str]:
    """Return problems in the order of the file; those of overrides come after."""

    def line(problem: str) -> float:
        number = problem.removeprefix(f"{document.name}:").partition(":")[0]
        return int(number) if number.isdecimal() else float("inf")

    return sorted(problems, key=line)


def read_secrets(value: Any, path: settings_yaml.Path, document: Document, outline: Outline) -> None:
    """Replace each `password_file: path` by `password: what the file holds`, for every secret there is."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            read_secrets(item, (*path, index), document, outline)
    if not isinstance(value, dict):
        return
    known = outline.keys(path)
    for key in list(value):
        secret = key.removesuffix("_file")
        if key in known or secret == key or not outline.is_secret((*path, secret)):
            read_secrets(value[key], (*path, key), document, outline)
            continue
        place = document.places[*path, secret] = document.place((*path, key))
        file = _beside(Path(str(value.pop(key))), (*path, secret), document, Path(document.name).parent)
        if secret in value:
            document.problems.append(f"{place}: give {secret} or {key}, not both")
        try:
            value[secret] = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            document.problems.append(f"{place}: {'.'.join(map(str, (*path, key)))}: {file} cannot be read: {error}")
            value[secret] = ""


def _beside(file: Path, path: settings_yaml.Path, document: Document, folder: Path) -> Path:
    """Return `file` as seen from the settings file's folder, or from the current one where an override names it.

    It is absolute, since the state directory remembers it for a daemon that is started elsewhere.
    """
    file = file.expanduser()
    return (file if document.from_override(path) else folder / file).absolute()


def _anchored(value: _Value, path: settings_yaml.Path, document: Document, folder: Path) -> _Value:
    """Return a settings value with each relative path in it made relative to the right folder."""
    anchored: Any = value
    if isinstance(value, Path):
        anchored = _beside(value, path, document, folder)
    elif isinstance(value, _PathText):
        anchored = str(_beside(Path(value), path, document, folder))
    elif isinstance(value, SourceChoice):
        anchored = SourceChoice(value.name, _anchored(value.settings, (*path, value.name), document, folder))
    elif isinstance(value, BaseModel):
        update = {}
        for name, field in type(value).model_fields.items():
            before = getattr(value, name)
            after = _anchored(_as_path(before, field), (*path, field.alias or name), document, folder)
            if after != before:  # what was left out stays known as left out
                update[name] = after
        anchored = value.model_copy(update=update)
    elif isinstance(value, dict):
        anchored = {key: _anchored(item, (*path, key), document, folder) for key, item in value.items()}
    elif isinstance(value, list | tuple):
        items = (_anchored(item, (*path, index), document, folder) for index, item in enumerate(value))
        anchored = type(value)(items)
    return anchored  # type: ignore[no-any-return]


def _as_path(value: Any, field: FieldInfo) -> Any:
    """Let a text that its field declares to be a path (a glob is one) be treated as one, and stay a text."""
    extra = field.json_schema_extra
    if isinstance(value, str) and isinstance(extra, dict) and extra.get("format") == "path":
        return _PathText(value)
    return value


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the settings file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(by_alias=True),
        "title": "learnd settings",
    }
