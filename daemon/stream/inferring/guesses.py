"""Guesses what each field is: the label, the key, a feature."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learnd.daemon.errors import DataError
from learnd.daemon.stream.inferring.seen import FieldSeen, is_key
from learnd.daemon.stream.inferring.sniffing import Sniffed
from learnd.daemon.stream.inferring.words import shown, yaml

_MOST_CLASSES = 100

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


@dataclass(frozen=True, slots=True)
class Guess:
    """Everything that the settings are written from."""

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
        return next((field for field in self.fields if field is not self.label and is_key(field)), None)


def label_of(fields: Sequence[FieldSeen]) -> FieldSeen | None:
    """Return the field with the most likely name, else the last field that can be a label."""
    able = [f for f in fields if f.name and f.kind in {"number", "boolean", "text", "labels"} and not f.identifier]
    for names in _LABEL_NAMES:
        for field in able:
            if field.name.rpartition(".")[2].lower() in names:
                return field
    named = [field for field in able if _LABEL_PATTERN.fullmatch(field.name)]
    others = [field for field in able if not field.constant and not is_key(field) and not _is_one_text(field)]
    return next(reversed(named or others), None)


def _is_one_text(field: FieldSeen) -> bool:
    """Whether all values are the same text, so that there are no two classes."""
    return field.kind == "text" and len(field.distinct) < 2


def left_out(field: FieldSeen) -> str | None:
    """Return why a field is not a feature; None if it is. A constant number is one: it may change later."""
    if not field.name:
        return "it has no name"
    if field.kind in {"other", "labels"}:
        return "it holds lists or objects of no fixed form" if field.values else "it was always null"
    if field.constant and field.kind == "text":
        return f"it is always {shown(field.values[0])}"
    if field.identifier:
        return "it is different in every record"
    if is_key(field):
        return f"it says whose record it is; to learn from it: {{hash: {hash_size(field)}}}"
    return None


def hash_size(field: FieldSeen) -> int:
    """Return a size with room for ten times the values seen, so that few of them share an index."""
    return int(2 ** math.ceil(math.log2(10 * len(field.distinct))))


def task_of(label: FieldSeen) -> tuple[str, str]:
    """Return the task, and the label's settings in YAML."""
    name = yaml(label.name)
    distinct = label.distinct
    if label.kind == "labels":
        names = sorted({item for value in label.values for item in value})
        return "multi_label", f"{{field: {name}, labels: [{', '.join(map(yaml, names))}]}}"
    if label.kind == "boolean" or set(distinct) <= {0, 1}:
        return "binary", name
    if len(distinct) == 2:
        return "binary", f"{{field: {name}, values: [{', '.join(map(yaml, sorted(distinct, key=str)))}]}}"
    if label.kind == "text":
        if _is_one_text(label):
            raise DataError(
                f"the label {label.name} is always {shown(distinct[0])} in the first records, so there are no two "
                "classes to learn, and nothing was written; name a file in which it varies"
            )
        if len(distinct) > _MOST_CLASSES:
            raise DataError(f"the field {label.name} holds {len(distinct)} different texts, too many classes to guess")
        return "classes", f"{{field: {name}, classes: [{', '.join(map(yaml, sorted(distinct, key=str)))}]}}"
    if all(value % 1 == 0 for value in distinct) and set(distinct) == set(range(len(distinct))):
        return "classes", f"{{field: {name}, classes: {len(distinct)}}}"
    return "regression", name
