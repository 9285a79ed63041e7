"""Turns pydantic's errors into problems in the words of the settings file, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from learnd.daemon.config.document import Document, Path, at
from learnd.daemon.foundation.section import did_you_mean

_NOT_OF_THE_TYPE = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "none_required": "null",
    "path_type": "a path",
    "string_type": "a text",
    "tuple_type": "a list",
}
_OUT_OF_RANGE = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_pattern_mismatch": "must have the form {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
}


@dataclass(frozen=True)
class Outline:
    """The keys that the settings have, from their JSON Schema.

    It is made when it is first asked for. That takes a tenth of a second and imports the settings of every connector,
    and only a problem or a secret in a file needs it.
    """

    settings: type[BaseModel]

    def keys(self, path: Path) -> dict[str, Mapping[str, Any]]:
        """Return the keys that the section at `path` may have, each with its schema."""
        keys: dict[str, Mapping[str, Any]] = {}
        for branch in self._at(path):
            keys.update(branch.get("properties", {}))
        return keys

    def is_secret(self, path: Path) -> bool:
        """Whether the value at `path` must not be shown."""
        return any(branch.get("writeOnly") for branch in self._at(path))

    def is_of_lines(self, path: Path) -> bool:
        """Whether the value at `path` is a list that may be the lines of a file."""
        return any(branch.get("format") == "lines" for branch in self._at(path))

    def may_be_in_a_file(self, path: Path) -> bool:
        """Whether the value at `path` may be given by the name of a file."""
        return self.is_secret(path) or self.is_of_lines(path)

    def elsewhere(self, key: str) -> str | None:
        """Return the dotted path of the key in another section, if exactly one section has it."""
        found = self._homes.get(key, set())
        return next(iter(found)) if len(found) == 1 else None

    @cached_property
    def _schema(self) -> Mapping[str, Any]:
        return self.settings.model_json_schema(by_alias=True)

    @cached_property
    def _homes(self) -> dict[str, set[str]]:
        homes: dict[str, set[str]] = {}
        for section, schema in self.keys(()).items():
            for branch in self._branches(schema):
                for key in branch.get("properties", {}):
                    homes.setdefault(key, set()).add(f"{section}.{key}")
        return homes

    def _at(self, path: Path) -> list[Mapping[str, Any]]:
        found = list(self._branches(self._schema))
        for part in path:
            found = [deeper for branch in found for step in _step(branch, part) for deeper in self._branches(step)]
        return found

    def _branches(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if "$ref" in schema:
            yield from self._branches(self._schema["$defs"][schema["$ref"].rpartition("/")[2]])
        for alternatives in ("anyOf", "oneOf", "allOf"):
            for alternative in schema.get(alternatives, ()):
                yield from self._branches(alternative)
        yield schema


def _step(schema: Mapping[str, Any], part: str | int) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, int):
        items = schema.get("items")
    else:
        items = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
    if isinstance(items, Mapping):
        yield items


@dataclass(frozen=True)
class _Finding:
    """One of pydantic's errors: its place in the file, and the alternative of a union that it belongs to."""

    path: Path
    union: Path | None  # of the outermost union that pydantic tried
    alternative: str
    error: ErrorDetails


def describe(error: ValidationError, document: Document, outline: Outline) -> list[str]:
    """Return each problem as `file:line: key: what must be otherwise`, in the order of the file's sections."""
    found = (_locate(details, document.data) for details in error.errors(include_url=False) if not _is_echo(details))
    findings = [finding for finding in found if not _within(finding.path, document.unread)]
    unions: dict[Path, list[_Finding]] = {}
    for finding in findings:
        if finding.union is not None:
            unions.setdefault(finding.union, []).append(finding)
    lines: dict[str, None] = {}
    for finding in findings:
        groups = [[finding]] if finding.union is None else _best_alternative(unions.pop(finding.union, []))
        for group in groups:
            lines.update(dict.fromkeys(_sentences(group, document, outline)))
    return list(lines)


def told(problem: str, document: Document, section: Path = ()) -> str:
    """Return a problem of a section with its place: that of the key that it begins with, or the nearest there is."""
    key = problem.partition(" ")[0].rstrip(":")
    path = document.find(key, section)
    dotted = ".".join(map(str, section))
    joint = "." if len(path) > len(section) and problem.startswith(f"{key}: ") else ": "
    return at(document.place(path), f"{dotted}{joint if dotted else ''}{problem}")


def _is_echo(error: ErrorDetails) -> bool:
    """Whether a list is reported as too short only because items of it are wrong, which are reported themselves."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _within(path: Path, places: set[Path]) -> bool:
    return any(path[:length] in places for length in range(len(path) + 1))


def _locate(error: ErrorDetails, data: Any) -> _Finding:
    """Separate the keys of the file in an error's location from the names of alternatives of unions."""
    path: Path = ()
    union: Path | None = None
    alternative = ""
    value: Any = data
    *_, last = ("", *error["loc"])
    for part in error["loc"]:
        if _holds(value, part):
            value = value[part]
            path = (*path, part)
        elif error["type"] == "missing" and part in (last, value):  # a name may stand for a mapping with that one key
            path = (*path, part)
        elif union is None and part != "[key]":
            union, alternative = path, str(part)
    return _Finding(path, union, alternative, error)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _best_alternative(findings: list[_Finding]) -> list[list[_Finding]]:
    """Return the errors of the alternative that was most likely meant; if there are several, together."""
    alternatives: dict[str, list[_Finding]] = {}
    for finding in findings:
        alternatives.setdefault(finding.alternative, []).append(finding)
    misfit = {name: _misfit(errors) for name, errors in alternatives.items()}
    meant = [alternatives[name] for name in alternatives if misfit[name] == min(misfit.values())]
    if len(meant) == 1:
        return [[finding] for finding in meant[0]]
    return [[errors[0] for errors in meant]] if meant else []


def _misfit(errors: list[_Finding]) -> tuple[bool, int, int]:
    """Rank alternatives: those of another kind come last, then those with other keys, then those with other values."""
    other_kind = any(finding.path == finding.union for finding in errors)
    other_keys = sum(finding.error["type"] in {"missing", "extra_forbidden"} for finding in errors)
    return other_kind, other_keys, len(errors)


def _sentences(findings: list[_Finding], document: Document, outline: Outline) -> list[str]:
    finding = findings[0]
    if finding.error["type"] in {"value_error", "assertion_error"}:
        return [told(problem, document, finding.path) for problem in str(finding.error["ctx"]["error"]).splitlines()]
    return [_sentence(findings, document, outline)]


def _sentence(findings: list[_Finding], document: Document, outline: Outline) -> str:
    finding = findings[0]
    place, dotted = document.place(finding.path), ".".join(map(str, finding.path))
    if finding.error["type"] == "extra_forbidden":
        known_by_place = place == f"--set {dotted}"
        return f"{place}: unknown key{'' if known_by_place else f' {dotted}'}{_suggestion(finding.path, outline)}"
    return at(place, f"{dotted}: {_what_is_wrong(findings, outline)}" if dotted else _what_is_wrong(findings, outline))


def _what_is_wrong(findings: list[_Finding], outline: Outline) -> str:
    finding = findings[0]
    kind = finding.error["type"]
    if kind == "missing":
        return "missing, and there is no default"
    shown = "" if outline.is_secret(finding.path) else f", not {_short(finding.error['input'])}"
    expected = list(dict.fromkeys(_expected(item.error) for item in findings))
    if all(expected):
        advice = _advice(expected, finding.error["input"]) or _meant(findings)
        return f"must be {' or '.join(filter(None, expected))}{shown}{advice}"
    if kind in _OUT_OF_RANGE:
        return f"{_OUT_OF_RANGE[kind].format(**_plain_numbers(finding.error['ctx']))}{shown}"
    return finding.error["msg"]


def _expected(error: ErrorDetails) -> str | None:
    if error["type"] in {"literal_error", "enum"}:
        return str(error["ctx"]["expected"]).replace("'", "").replace(", ", " or ").replace(" or or ", " or ")
    return _NOT_OF_THE_TYPE.get(error["type"])


def _advice(expected: list[str | None], given: Any) -> str:
    return "; put it in quotes" if expected == ["a text"] and isinstance(given, bool | int | float) else ""


def _meant(findings: list[_Finding]) -> str:
    """Return the word that was probably meant, if words are expected and one is close to the given one."""
    given = findings[0].error["input"]
    lists = [str(item.error["ctx"]["expected"]) for item in findings if item.error["type"] == "literal_error"]
    return did_you_mean(given, re.findall(r"'([^']*)'", " ".join(lists))) if isinstance(given, str) else ""


def _suggestion(path: Path, outline: Outline) -> str:
    *section, key = path
    known = outline.keys(tuple(section))
    close = did_you_mean(str(key), known)
    if close:
        return close
    home = outline.elsewhere(str(key))
    if home is not None:
        return f": did you mean {home}?"
    return f"; there are {', '.join(known)}" if known else ""


def _plain_numbers(context: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in context.items()
    }


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
