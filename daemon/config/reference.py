"""Makes the settings reference from the settings models: `python -m learnd.daemon.config.reference FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from learnd.daemon.config.file import schema
from learnd.daemon.config.keys import live_keys

_Schema = Mapping[str, Any]

_INTRODUCTION = """\
# Settings

All settings are in one YAML file. `make docs` makes this page from the settings models; `learnd schema` prints the same
as a JSON Schema, for editors.

- **Unknown keys** are errors, never ignored. `learnd validate` lists every problem with its line.
- **Values** are those of YAML 1.2: `1e-3` is a number; `on`, `no` and `yes` are texts.
- **The environment**: `${NAME}` stands for an environment variable, `${NAME:default}` has a default, `$${` is a plain
  `${`. Inside braces or brackets, put the value in quotes. A quoted value stays a text, which is also taken as a number
  if a number is expected.
- **On the command line**: `--set train.batch_size=32` overrides a key, and can be repeated. The value is plain, or YAML
  in brackets, braces or quotes. Items of a list are named by their index (`--set validate.prequential.windows.0=500`).
  Overrides are checked like the file.
- **Relative paths** start at the settings file's folder; in a `--set`, at the current folder.
- **In files**: each secret key `name` can be given as `name_file`, the path of a file that holds the secret. So can
  `vocabulary`, with a file of one word a line.
- **While a daemon runs**, it can [read the file again](operations.md#new-settings-while-it-runs): the last table of
  this page has the keys that it takes up then. All others take effect at a restart.
- **Defaults** are those of this version. A state directory keeps [those that it was begun
  with](operations.md#upgrades-and-defaults).
"""

_TYPES = {"boolean": "true or false", "integer": "integer", "null": "null", "number": "number", "object": "mapping"}
_LIMITS = {"exclusiveMinimum": "> {}", "minimum": "≥ {}", "exclusiveMaximum": "< {}", "maximum": "≤ {}"}


def reference() -> str:
    """Return the page, in Markdown."""
    page = _Page(schema())
    return "\n".join([_INTRODUCTION, *page.lines(), *_live_lines()]) + "\n"


def _live_lines() -> Iterator[str]:
    yield from ("## What changes while a daemon runs", "", "| key | when it takes effect |", "| --- | --- |")
    for key in live_keys():
        yield f"| `{key.path}` | {_cell(key.section.live[key.name])} |"


class _Page:
    def __init__(self, root: _Schema) -> None:
        self._root = root

    def lines(self) -> Iterator[str]:
        """Yield a part for each section, and one for the keys that are no section."""
        loose = {}
        for key, given in self._root["properties"].items():
            if "oneOf" in given:
                for choice in given["oneOf"]:
                    ((name, inner),) = choice["properties"].items()
                    yield from self._section(f"{key}.{name}", inner, self._resolve(inner)["description"])
            elif "properties" in self._resolve(given):
                yield from self._section(key, given, _description(given, self._resolve(given)))
            elif (item := next(self._items(given), None)) is not None:
                yield from self._section(f"{key}.N", item, _description(given, {}))
            else:
                loose[key] = given
        yield from ("## Others", "", *_HEAD, *(row for key in loose for row in self._rows(key, loose[key])), "")

    def _section(self, name: str, given: _Schema, description: str) -> Iterator[str]:
        model = self._resolve(given)
        required = set(model.get("required", ()))
        yield from (f"## `{name}`", "", description, "")
        if model["properties"]:
            yield from _HEAD
        for key, value in model["properties"].items():
            yield from self._rows(key, value, required=key in required)
        yield ""

    def _rows(self, key: str, given: _Schema, *, required: bool = False) -> Iterator[str]:
        """Yield the row of a key, and those of the keys within it."""
        described = _description(given, self._resolve(given))
        yield f"| `{key}` | {self._type(given)} | {_default(given, required=required)} | {_cell(described)} |"
        for branch in self._branches(given):
            inner, prefix = next(((item, f"{key}.N") for item in self._items(branch)), (branch, key))
            if isinstance(branch.get("additionalProperties"), Mapping):
                inner, prefix = branch["additionalProperties"], f"{key}.NAME"
                inner = next((part for part in self._branches(inner) if "properties" in part), {})
            for name, value in inner.get("properties", {}).items():
                yield from self._rows(f"{prefix}.{name}", value, required=name in inner.get("required", ()))

    def _items(self, given: _Schema) -> Iterator[_Schema]:
        """Yield the schemas of a list's items, if they are mappings with known keys."""
        for branch in self._branches(given):
            for item in self._branches(branch["items"]) if branch.get("items") else ():
                if "properties" in item:
                    yield item

    def _type(self, given: _Schema) -> str:
        branches = self._branches(given)
        if given.get("default", ...) is None:  # null means that it is left out
            branches = [branch for branch in branches if branch.get("type") != "null"]
        return _cell(" or ".join(dict.fromkeys(map(self._one_type, branches))))

    def _one_type(self, branch: _Schema) -> str:
        """Return in words what one alternative of a value can be."""
        if "enum" in branch or "const" in branch:
            return ", ".join(f"`{value}`" for value in branch.get("enum", [branch.get("const")]))
        kind = branch.get("type", "anything")
        limits = ", ".join(words.format(branch[key]) for key, words in _LIMITS.items() if key in branch)
        if kind == "array":
            return f"list of {self._type(branch['items']) if branch.get('items') else 'anything'}"
        if kind == "string":
            return "path" if branch.get("format") == "path" else "text"
        if kind == "object" and isinstance(branch.get("additionalProperties"), Mapping):
            return f"mapping of NAME to {self._type(branch['additionalProperties'])}"
        return f"{_TYPES.get(kind, kind)}{' ' if limits else ''}{limits}"

    def _branches(self, given: _Schema) -> list[_Schema]:
        """Return the alternatives of a value, with references resolved."""
        resolved = self._resolve(given)
        alternatives = resolved.get("anyOf", ())
        return [branch for inner in alternatives for branch in self._branches(inner)] if alternatives else [resolved]

    def _resolve(self, given: _Schema) -> _Schema:
        if "$ref" not in given:
            return given
        definition: _Schema = self._root["$defs"][given["$ref"].rpartition("/")[2]]
        return definition


_HEAD = ("| key | value | default | meaning |", "| --- | --- | --- | --- |")


def _description(given: _Schema, resolved: _Schema) -> str:
    return str(given.get("description") or resolved.get("description", ""))


def _default(given: _Schema, *, required: bool) -> str:
    if required:
        return "**required**"
    default = given.get("default")
    if default is None or any(isinstance(item, dict) for item in (default if isinstance(default, list) else [default])):
        return ""  # the description says what a section is by default
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
