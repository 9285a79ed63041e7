"""A first settings file from the first records of a data file: guesses, each with a comment that says what was seen."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import structlog

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.columns import TRUE_OR_FALSE, TimeReader, number_from_text
from learnd.daemon.stream.inferring.sniffing import Sniffed, sniff

log = structlog.get_logger()

_MOST_LISTED = 20  # different texts that are listed as a category; more of them are hashed
_MOST_CLASSES = 100
_ENOUGH_ROWS = 10  # before a column that never changes, or never repeats, is taken for one
_DEEPEST = 3

_LABEL_NAMES = (
    (
        "label",
        "target",
        "class",
        "y",
        "fraud",
        "is_fraud",
        "churn",
        "churned",
        "outcome",
        "clicked",
        "click",
        "converted",
    ),
    ("survived", "default", "spam", "is_spam", "anomaly", "price", "sales", "demand", "duration", "result", "score"),
)
_LABEL_PATTERN = re.compile(r".*_(label|target|class|y)|(is|has)_\w+", re.IGNORECASE)
_TIME_PATTERN = re.compile(
    r"(.*[_.])?(ts|t|time|timestamp|date|datetime|at|when)|\w+(Time|At|Date)|created|updated", re.IGNORECASE
)
_KEY_PATTERN = re.compile(
    r"(.*[_.])?(user|customer|account|device|session|client|card)(_?id)?|(.*[_.])?(\w+_)?u?u?id|\w+Id|key"
)
_PLAIN_YAML = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_YAML_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}
_NOTE_COLUMN = 44


def infer_settings(path: Path, rows: int = 200, folder: Path = Path()) -> str:
    """Return a commented settings file for the records of `path`, from its first `rows`.

    `folder` is where the settings file will lie: paths in it are relative to there. Raises SourceError where the file
    cannot be read, and DataError where it holds no records or nothing in them can be a label.
    """
    sniffed = sniff(path, rows)
    if sniffed.broken:
        log.warning(
            "records.unreadable",
            file=str(path),
            unreadable=sniffed.broken,
            readable=len(sniffed.records),
            consequence="they would be rejected, and nothing was inferred from them",
        )
    is_csv = sniffed.format == "csv"
    fields = [_describe(name, values, is_csv=is_csv) for name, values in _columns(sniffed).items()]
    label = _label(fields)
    if label is None:
        raise DataError(
            f"{path}: no field of its first {len(sniffed.records)} records can be a label; write the settings"
        )
    return _render(Guess(path, folder, sniffed, fields, label))


@dataclass(frozen=True, slots=True)
class FieldSeen:
    """What one field held. `kind` is number, boolean, text, time, vector, labels or other."""

    name: str
    kind: str
    values: list[Any]  # those that were not null
    nulls: int
    unit: str = "auto"  # of a time

    @property
    def distinct(self) -> list[Any]:
        """Different values, in the order of their first appearance."""
        return list(dict.fromkeys(map(_hashable, self.values)))

    @property
    def constant(self) -> bool:
        return len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == 1

    @property
    def identifier(self) -> bool:
        """Whether every record has another one: of texts, or of numbers under such a name."""
        unique = len(self.values) >= _ENOUGH_ROWS and len(self.distinct) == len(self.values)
        named = _KEY_PATTERN.fullmatch(self.name) is not None
        return unique and (self.kind == "text" or (self.kind == "number" and named))


@dataclass(frozen=True, slots=True)
class Guess:
    """All that the settings are written from."""

    path: Path
    folder: Path
    sniffed: Sniffed
    fields: Sequence[FieldSeen]
    label: FieldSeen

    @property
    def event_time(self) -> FieldSeen | None:
        return next((field for field in self.fields if field.kind == "time" and field is not self.label), None)

    @property
    def key(self) -> FieldSeen | None:
        return next((field for field in self.fields if field is not self.label and _is_key(field)), None)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _columns(sniffed: Sniffed) -> dict[str, list[Any]]:
    """Return the values of each field, None where it is missing; fields of nested objects by their path."""
    flat = [dict(_flattened(record, sniffed.format, "", 1)) for record in sniffed.records]
    names = dict.fromkeys(chain.from_iterable(flat))
    return {name: [record.get(name) for record in flat] for name in names}


def _flattened(record: Mapping[str, Any], form: str, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        path = prefix + (name if form == "csv" else str(name).replace(".", "\\."))
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _flattened(value, form, f"{path}.", depth + 1)
        else:
            yield path, value


def _describe(name: str, column: Sequence[Any], *, is_csv: bool) -> FieldSeen:
    """Say what a field holds, by the values that are not null."""
    typed = map(number_from_text, column) if is_csv else column
    values = [value for value in typed if value is not None and value == value]  # noqa: PLR0124  (NaN)
    nulls = len(column) - len(values)
    if unit := _time_unit(name, values):
        return FieldSeen(name, "time", values, nulls, unit)
    return FieldSeen(name, _kind(values, is_csv=is_csv), values, nulls)


def _kind(values: Sequence[Any], *, is_csv: bool) -> str:
    if not values:
        return "other"
    if all(isinstance(value, bool) for value in values) or (is_csv and all(map(_is_truth_word, values))):
        return "boolean"
    if all(map(_is_number, values)):
        return "number"
    if all(isinstance(value, list) for value in values):
        return _kind_of_lists(values)
    return "text" if all(isinstance(value, str | bool) or _is_number(value) for value in values) else "other"


def _kind_of_lists(values: Sequence[list[Any]]) -> str:
    items = list(chain.from_iterable(values))
    if items and all(isinstance(item, str) for item in items):
        return "labels"
    return "vector" if items and all(map(_is_number, items)) and len(set(map(len, values))) == 1 else "other"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_truth_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in TRUE_OR_FALSE


def _time_unit(name: str, values: Sequence[Any]) -> str | None:
    """Return the unit of a column of times; None where it holds something else."""
    if not values:
        return None
    if not all(map(_is_number, values)):
        return "iso" if all(math.isfinite(t) for t in TimeReader("iso").seconds(values)) else None
    if not _TIME_PATTERN.fullmatch(name.rpartition(".")[2]):
        return None
    # Between the years 1990 and 2100.
    return next((unit for unit, n in (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)) if _all_within(values, n)), None)


def _all_within(values: Sequence[float], per_second: float) -> bool:
    return all(631_152_000 * per_second <= value <= 4_102_444_800 * per_second for value in values)


def _is_key(field: FieldSeen) -> bool:
    named = _KEY_PATTERN.fullmatch(field.name) is not None
    whole = field.kind == "text" or (field.kind == "number" and all(value % 1 == 0 for value in field.values))
    return named and whole and 1 < len(field.distinct) < len(field.values)


def _label(fields: Sequence[FieldSeen]) -> FieldSeen | None:
    """Return the field with the likeliest name, else the last that can be a label."""
    able = [f for f in fields if f.name and f.kind in {"number", "boolean", "text", "labels"} and not f.identifier]
    for names in _LABEL_NAMES:
        for field in able:
            if field.name.rpartition(".")[2].lower() in names:
                return field
    named = [field for field in able if _LABEL_PATTERN.fullmatch(field.name)]
    others = [field for field in able if not field.constant and not _is_key(field) and not _is_one_text(field)]
    return next(reversed(named or others), None)


def _is_one_text(field: FieldSeen) -> bool:
    """Whether there is nothing to tell apart: a class needs another one beside it."""
    return field.kind == "text" and len(field.distinct) < 2


def _render(guess: Guess) -> str:
    task, label = _task(guess.label)
    return (
        "\n".join([*_head(guess), *_model(guess, task), *_source(guess), *_samples(guess, label), *_rest(guess)]) + "\n"
    )


def _head(guess: Guess) -> Iterator[str]:
    count = len(guess.sniffed.records)
    yield f"# learnd settings, inferred from the first {count} records of {guess.path.name}."
    yield "# They are guesses: look them through."
    if guess.sniffed.broken:
        yield f"# {guess.sniffed.broken} more could not be read; they would be rejected."


def _model(guess: Guess, task: str) -> Iterator[str]:
    yield ""
    yield "model:"
    yield "  preset: mlp"
    yield _noted(f"  task: {task}", f"{guess.label.name}: {_seen(guess.label)}")


def _source(guess: Guess) -> Iterator[str]:
    yield ""
    yield "source:"
    yield "  files:"
    yield f"    path: {_yaml(os.path.relpath(guess.path, guess.folder))}"
    yield _noted("    follow: false", "true: follow the file as it grows")


def _samples(guess: Guess, label: str) -> Iterator[str]:
    yield ""
    yield "samples:"
    yield f"  format: {guess.sniffed.format}"
    if guess.sniffed.format == "csv" and guess.sniffed.delimiter != ",":
        yield f"  delimiter: {_yaml(guess.sniffed.delimiter)}"
    yield "  features:"
    yield from _features(guess)
    yield f"  label: {label}"
    if guess.event_time is not None:
        unit = guess.event_time.unit
        name = _yaml(guess.event_time.name)
        yield "  event_time: " + (name if unit in {"iso", "s"} else f"{{field: {name}, unit: {unit}}}")
    if guess.key is not None:
        yield _noted(f"  key: {_yaml(guess.key.name)}", "whose record it is, for a holdout by key")


def _features(guess: Guess) -> Iterator[str]:
    lines = [_feature(field) for field in guess.fields if field is not guess.label]
    if all(line.lstrip().startswith("#") for line in lines):
        raise DataError(
            f"{guess.path}: beside the label {guess.label.name} no field can be a feature; write the settings"
        )
    yield from lines


def _feature(field: FieldSeen) -> str:
    if why := _left_out(field):
        return f"    # {_yaml(field.name)} is left out: {why}"
    return _noted(f"    {_yaml(field.name)}: {_feature_form(field)}", _seen(field))


def _left_out(field: FieldSeen) -> str | None:
    """Return why a field is no feature. A number that never changed stays: in a stream it may yet."""
    if not field.name:
        return "it has no name"
    if field.kind in {"other", "labels"}:
        return "it holds lists or objects of no fixed form" if field.values else "it was always null"
    if field.constant and field.kind == "text":
        return f"it is always {_shown(field.values[0])}"
    if field.identifier:
        return "every record has another one"
    if _is_key(field):
        return f"it tells whose record it is; to learn each: {{hash: {_hash_size(field)}}}"
    return None


def _feature_form(field: FieldSeen) -> str:
    """Return the feature in YAML."""
    if field.kind == "time":
        return f"{{timestamp: [hour, weekday], unit: {field.unit}}}"
    if field.kind == "vector":
        return f"{{vector: {len(field.values[0])}}}"
    if field.kind == "text":
        return _category(field)
    name = "float" if field.kind == "number" else "boolean"
    return f"{{type: {name}, default: 0}}" if field.nulls else name


def _category(field: FieldSeen) -> str:
    default = ', default: ""' if field.nulls else ""
    if len(field.distinct) <= _MOST_LISTED:
        return f"{{values: [{', '.join(map(_yaml, field.distinct))}]{default}}}"
    return f"{{hash: {_hash_size(field)}{default}}}"


def _hash_size(field: FieldSeen) -> int:
    """Return room for ten times the values seen, so that few of them share an index."""
    return int(2 ** math.ceil(math.log2(10 * len(field.distinct))))


def _task(label: FieldSeen) -> tuple[str, str]:
    """Return the task, and the label's settings in YAML."""
    name = _yaml(label.name)
    distinct = label.distinct
    if label.kind == "labels":
        names = sorted({item for value in label.values for item in value})
        return "multi_label", f"{{field: {name}, labels: [{', '.join(map(_yaml, names))}]}}"
    if label.kind == "boolean" or set(distinct) <= {0, 1}:
        return "binary", name
    if len(distinct) == 2:
        return "binary", f"{{field: {name}, values: [{', '.join(map(_yaml, sorted(distinct, key=str)))}]}}"
    if label.kind == "text":
        if _is_one_text(label):
            raise DataError(
                f"the label {label.name} is always {_shown(distinct[0])} in the first records, so that there are no "
                "two classes to tell apart and nothing was written; name a file in which it varies"
            )
        if len(distinct) > _MOST_CLASSES:
            raise DataError(f"the field {label.name} holds {len(distinct)} different texts: too many classes to guess")
        return "classes", f"{{field: {name}, classes: [{', '.join(map(_yaml, sorted(distinct, key=str)))}]}}"
    if all(value % 1 == 0 for value in distinct) and set(distinct) == set(range(len(distinct))):
        return "classes", f"{{field: {name}, classes: {len(distinct)}}}"
    return "regression", name


def _rest(guess: Guess) -> Iterator[str]:
    yield ""
    yield "train:"
    yield _noted("  batch_size: 1", "samples an update")
    yield ""
    yield "validate:"
    by = "key" if guess.key is not None else "position"
    yield _noted(f"  holdout: {{share: 0.02, by: {by}}}", "never trained on")
    yield ""
    yield "checkpoint:"
    yield _noted("  dir: state", "what a restart goes on from")
    yield ""
    yield "http:"
    yield _noted('  listen: "127.0.0.1:9464"', "metrics, health and status")


def _noted(line: str, note: str) -> str:
    return f"{line:<{_NOTE_COLUMN}}  # {note}"


def _seen(field: FieldSeen) -> str:
    """Say in a few words what a field held."""
    distinct = field.distinct
    nulls = f"; {field.nulls} without" if field.nulls else ""
    if field.constant:
        return f"always {_shown(field.values[0])} so far{nulls}"
    if field.kind == "number":
        few = ", ".join(map(_shown, distinct)) if len(distinct) <= 4 else None
        return (few or f"{_shown(min(field.values))} to {_shown(max(field.values))}") + nulls
    if field.kind == "vector":
        return f"{len(field.values[0])} numbers{nulls}"
    if field.kind == "time":
        return f"such as {_shown(field.values[0])}{nulls}"
    if len(distinct) <= 4:
        return ", ".join(map(_shown, distinct)) + nulls
    return f"{len(distinct)} different ones, such as {_shown(distinct[0])}, {_shown(distinct[1])}{nulls}"


def _shown(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 30 else f"{text[:30]}..."


def _yaml(value: Any) -> str:
    """Return a scalar as it may stand anywhere in YAML, in flow style too, with no variable taken for one."""
    if isinstance(value, float) and value % 1 == 0:
        value = int(value)
    if isinstance(value, str) and _PLAIN_YAML.fullmatch(value) and value.lower() not in _YAML_WORDS:
        return value
    text = value if isinstance(value, str) else ""
    return json.dumps(value, default=str, ensure_ascii=not text.isprintable()).replace("${", "$${")
