"""Reads YAML as plain values, each with its place; applies the environment and the overrides.

Scalars are those of YAML 1.2: `1e-3` is a number, `on` and `no` are texts. A key is always a text, as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

_MOST_DEPTH = 50
_MOST_VALUES = 100_000  # aliases of aliases can make billions out of a few lines
_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>[^{}]*))?\}|\$\{[^}]*\}?")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


class _Loader(yaml.SafeLoader):
    """Leaves every plain scalar untyped: the 1.1 types of PyYAML take `on` for a boolean and `1e-3` for a text."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (as its base declares it)


class _TooMuchError(Exception):
    """Raised if values are nested without end, or multiplied by aliases of aliases."""


@dataclass
class Document:
    """The values read so far, the place of each (`file:line`, or the override), and the problems found."""

    name: str
    environ: Mapping[str, str]
    data: Any = None
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)  # values that have a problem already
    _values: int = 0

    def read(self, text: str) -> None:
        """Take the values of a YAML text."""
        node = self._compose(text, self.name)
        if node is not None:
            self.data = self._build_all(node, (), place=None)

    def override(self, text: str) -> None:
        """Override a value by `dotted.path=value`. A value in brackets, braces or quotes is YAML."""
        dotted, equals, value = text.partition("=")
        place = f"--set {dotted}"
        if not equals or not dotted or not all(dotted.split(".")):
            self.problems.append(f"--set {text}: write it as dotted.path=value, such as train.batch_size=32")
            return
        path: Path = ()
        if self.data is None:
            self.data = {}
        target = self.data
        *parents, last = dotted.split(".")
        for part in parents:
            key = self._key(target, part, place)
            if key is None:
                return
            path = (*path, key)
            if isinstance(target, dict) and target.get(key) is None:
                target[key] = {}
                self.places[path] = place
            target = target[key]
        key = self._key(target, last, place)
        if key is None:
            return
        path = (*path, key)
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
        self.places[path] = place
        before = len(self.problems)
        node = self._compose_value(value, place)
        target[key] = None if node is None else self._build_all(node, path, place)
        if len(self.problems) > before:
            self.unread.add(path)

    def place(self, path: Path) -> str:
        """Return the place of the value at `path`, or of the nearest value that contains it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, self.name)

    def find(self, dotted: str, section: Path = ()) -> Path:
        """Return the path of a dotted key of a section, as far down as the document has something there."""
        path = section
        for part in dotted.split("."):
            deeper = (*path, int(part) if part.isdecimal() and (*path, part) not in self.places else part)
            if deeper not in self.places:
                break
            path = deeper
        return path

    def from_override(self, path: Path) -> bool:
        """Whether the value at `path` was given on the command line."""
        return self.place(path).startswith("--set ")

    def _key(self, target: Any, part: str, place: str) -> str | int | None:
        if isinstance(target, dict):
            return part
        if isinstance(target, list):
            if part.isdecimal() and int(part) < len(target):
                return int(part)
            self.problems.append(f"{place}: there is no item {part} in a list of {len(target)}")
            return None
        self.problems.append(f"{place}: {part!r} cannot be set in {target!r}, which is a single value, not a section")
        return None

    def _compose_value(self, value: str, place: str) -> yaml.Node | None:
        """Read the value of an override. A plain one is taken literally: in a file, `*.csv` would be an alias."""
        if value.lstrip().startswith(("[", "{", '"', "'")):
            return self._compose(value, place)
        start = yaml.Mark(place, 0, 0, 0, None, 0)
        return yaml.ScalarNode("tag:yaml.org,2002:str", value.strip(), start, start)

    def _compose(self, text: str, name: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = name if mark is None or name.startswith("--set ") else f"{name}:{mark.line + 1}"
            what = ", ".join(filter(None, (error.context, error.problem)))
            self.problems.append(f"{place}: this is not YAML: {what}{_hint(text, mark)}")
        except yaml.YAMLError as error:
            self.problems.append(f"{name}: this is not YAML: {str(error).splitlines()[0]}")
        except RecursionError:
            self.problems.append(f"{name}: nested too deeply")
        return None

    def _build_all(self, node: yaml.Node, path: Path, place: str | None) -> Any:
        self._values = 0
        try:
            return self._build(node, path, place, depth=0)
        except _TooMuchError as error:
            self.problems.append(str(error))
            return None

    def _build(self, node: yaml.Node, path: Path, place: str | None, depth: int) -> Any:
        """Return the value of a node. `place` is that of an override; in a file, each key has its line."""
        here = place or f"{self.name}:{node.start_mark.line + 1}"
        self.places.setdefault(path, here)
        self._values += 1
        if depth > _MOST_DEPTH or self._values > _MOST_VALUES:
            raise _TooMuchError(f"{here}: nested too deeply, or an alias within itself")
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in {"map", "seq", "str", "int", "float", "bool", "null"}:
            self._problem(here, path, f"the tag {node.tag!r} has no meaning here")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, place, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._build(item, (*path, i), place, depth + 1) for i, item in enumerate(node.value)]
        text = self._substitute(node.value, here, path)
        quoted = kind == "str" and isinstance(node, yaml.ScalarNode) and node.style is not None
        return text if quoted else typed(text)

    def _problem(self, here: str, path: Path, what: str) -> None:
        self.problems.append(f"{here}: {what}")
        self.unread.add(path)

    def _mapping(self, node: yaml.MappingNode, path: Path, place: str | None, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            here = place or f"{self.name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{here}: a key is a text")
            elif key_node.value in values:
                self.problems.append(
                    f"{here}: {key_node.value!r} stands twice, first at {self.place((*path, key_node.value))}"
                )
            else:
                key = key_node.value
                self.places[*path, key] = here
                values[key] = self._build(value_node, (*path, key), place, depth + 1)
        return values

    def _substitute(self, text: str, here: str, path: Path) -> str:
        """Substitute environment variables: `${NAME}`, `${NAME:default}`, and `$${` for a plain `${`."""

        def value(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match[0] == "$${":
                return "${"
            if name is None:
                self._problem(here, path, f"{match[0]!r} is not ${{NAME}} or ${{NAME:default}}; a plain ${{ is $${{")
            elif name not in self.environ and default is None:
                self._problem(
                    here, path, f"the environment variable {name} is not set; set it, or write ${{{name}:default}}"
                )
            return self.environ.get(name or "", default or "")

        return _VARIABLE.sub(value, text)


def at(place: str, problem: str) -> str:
    """Return a problem with its place. An override names its key already."""
    key = place.removeprefix("--set ")
    return f"{place}: {problem.removeprefix(f'{key}: ')}"


def typed(text: str) -> Any:
    """Return the value of a plain scalar: null, a boolean, a number, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 4000 else float(text)
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _hint(text: str, mark: yaml.Mark | None) -> str:
    """Explain the two mistakes that the parser's message does not."""
    if mark is None:
        return ""
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line:
        return " (indent with spaces, not tabs)"
    if "${" in line:
        return ' (inside braces write "${NAME}" in quotes)'
    return ""
