"""From a settings file and overrides to `Settings`, or to every problem in them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


_OUTLINE = Outline(Settings)
_DATA_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz", ".zst")


def load_settings(
    path: Path,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    further: Callable[[Settings], Sequence[str]] | None = None,
) -> Settings:
    """Read the file, put in the environment, apply the overrides (`dotted.path=value`), and check everything.

    A relative path in the file is relative to the file's folder; one in an override, to the current folder.
    `further` looks for more problems in settings that are valid by themselves; each begins with its key.
    Raises SettingsError with every problem found, each with its line.
    """
    document = _document(path, overrides, environ)
    if document.data is None and not document.problems:
        raise SettingsError([f"{path}: the file is empty; `learnd init` writes one to start from"])
    read_files(document.data, (), document, _OUTLINE)
    settings = _validate(document)
    settings = _anchored(settings, (), document, path.parent)
    if further is not None and (problems := further(settings)):
        raise SettingsError(_located(problems, document))
    return settings


@contextmanager
def located_problems(path: Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Give the problems of a SettingsError, each of which begins with its key, their lines in the settings file."""
    try:
        yield
    except SettingsError as error:
        raise SettingsError(_located(error.problems, _document(path, overrides, os.environ))) from error


def _document(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> Document:
    document = Document(str(path), environ)
    document.read(_text(path))
    for override in overrides:
        document.override(override)
    return document


def _located(problems: Sequence[str], document: Document) -> list[str]:
    return _in_order([told(problem, document) for problem in problems], document)


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


def _validate(document: Document) -> Settings:
    """Return the settings. Raises SettingsError with the problems of reading and those of the values."""
    problems = list(document.problems)
    try:
        if isinstance(document.data, dict) or not problems:
            settings = Settings.model_validate(document.data)
    except ValidationError as error:
        problems += describe(error, document, _OUTLINE)
    if problems:
        raise SettingsError(_in_order(problems, document))
    return settings


def _in_order(problems: Sequence[str], document: Document) -> list[str]:
    """Return problems in the order of their lines; those of overrides come last."""

    def line(problem: str) -> float:
        number = problem.removeprefix(f"{document.name}:").partition(":")[0]
        return int(number) if number.isdecimal() else float("inf")

    return sorted(problems, key=line)


def read_files(value: Any, path: settings_yaml.Path, document: Document, outline: Outline) -> None:
    """Replace each `password_file: path` by `password: content of the file`, for every key that may be in one: secrets,
    and lists of lines.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            read_files(item, (*path, index), document, outline)
    if not isinstance(value, dict):
        return
    for key in list(value):
        name = key.removesuffix("_file")
        if name == key or key in outline.keys(path) or not outline.may_be_in_a_file((*path, name)):
            read_files(value[key], (*path, key), document, outline)
            continue
        place = document.places[*path, name] = document.place((*path, key))
        file = _beside(Path(str(value.pop(key))), (*path, name), document, Path(document.name).parent)
        if name in value:
            document.problems.append(f"{place}: give {name} or {key}, not both")
        try:
            text = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{'.'.join(map(str, (*path, key)))}: {file} cannot be read: {error}"
            document.problems.append(settings_yaml.at(place, problem))
            document.unread.add((*path, name))
            text = ""
        value[name] = text.split("\n") if outline.is_of_lines((*path, name)) else text


def _beside(file: Path, path: settings_yaml.Path, document: Document, folder: Path) -> Path:
    """Return `file` relative to the settings file's folder, or to the current folder if an override names it.

    The path is absolute: the state directory records it, and the next daemon may start in another folder.
    """
    file = file.expanduser()
    return (file if document.from_override(path) else folder / file).absolute()


def _anchored(value: _Value, path: settings_yaml.Path, document: Document, folder: Path) -> _Value:
    """Return a settings value with every path in it made absolute."""
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
    """Mark a text that its field declares to be a path, such as a glob, so that it is treated as one."""
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
