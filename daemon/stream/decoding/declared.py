"""Compares the fields that the settings declare with the columns or fields that a source has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from learnd.daemon.stream.decoding.fields import Path, field_path
from learnd.daemon.stream.decoding.parsing import without_frame
from learnd.daemon.stream.settings import SamplesSettings

_MOST_NAMED = 20
_DEEPEST = 3


@dataclass(frozen=True, slots=True)
class Declared:
    """A field, and the key in the settings that names it. A field that is not `needed` has a default."""

    key: str
    field: str
    path: Path
    needed: bool = True


def declared(samples: SamplesSettings) -> Iterator[Declared]:
    """Yield each declared field, in the order of the settings."""
    for key, field, needed in samples.named_fields():
        yield Declared(key, field, field_path(samples.format, field), needed)


def missing_columns(samples: SamplesSettings, columns: Sequence[str], where: str) -> list[str]:
    """Return a problem for each needed column that `where` does not have. Each begins with a settings key."""
    return [_problem(field, "column", columns, where) for field in absent(samples, columns) if field.needed]


def absent(samples: SamplesSettings, columns: Sequence[str]) -> list[Declared]:
    """Return each declared field that is neither one of the columns nor inside one."""
    return _without(declared(samples), lambda path: path[0] in columns)


def missing_fields(samples: SamplesSettings, record: bytes, where: str) -> list[str]:
    """Return a problem for each needed field that a JSON object lacks; none if the record is not an object."""
    try:
        found = msgspec.json.decode(without_frame(record))
    except (ValueError, RecursionError):
        return []
    if samples.format != "json" or not isinstance(found, Mapping):
        return []
    names = list(_names(found, "", 1))
    fields = _without(declared(samples), lambda path: _is_in(found, path))
    return [_problem(field, "field", names, where) for field in fields if field.needed]


def _without(fields: Iterable[Declared], there: Callable[[Path], bool]) -> list[Declared]:
    return [field for field in fields if not there(field.path)]


def _is_in(record: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(record, Mapping) or step not in record:
            return False
        record = record[step]
    return True


def _names(record: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
    """Yield the names of the fields. Fields inside objects are named by their path."""
    for name, value in record.items():
        path = prefix + name.replace(".", "\\.")
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _names(value, f"{path}.", depth + 1)
        else:
            yield path


def _problem(missing: Declared, noun: str, names: Sequence[str], where: str) -> str:
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(missing.field.lower(), by_lower, n=1, cutoff=0.6)
    meant = f": did you mean {by_lower[close[0]]!r}? There" if close else "; there"
    there = ", ".join(islice(names, _MOST_NAMED)) + (", …" if len(names) > _MOST_NAMED else "")
    text = f". If {missing.field} is a text, put it in quotes" if missing.key.endswith(".expression") else ""
    return f"{missing.key}: {where} has no {noun} {missing.field!r}{meant} are {there or 'none'}{text}"
