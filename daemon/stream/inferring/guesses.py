"""Guesses what each field is: the label, the key, a feature."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from learnd.daemon.errors import DataError
from learnd.daemon.foundation.section import meant_or_known
from learnd.daemon.stream.decoding.categories import TRUE_OR_FALSE
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.inferring.numerals import Numerals, are_numbers
from learnd.daemon.stream.inferring.prose import of_several_words, text_form
from learnd.daemon.stream.inferring.seen import FieldSeen
from learnd.daemon.stream.inferring.sniffing import Sniffed
from learnd.daemon.stream.inferring.words import shown, yaml

_MOST_CLASSES = 100
_LEAST_ROOM = 20  # for classes that are not known yet
_LEAST_RUN = 10  # of equal labels, on average, before records are taken to be sorted by them
_MOSTLY = 0.5  # share of numbers from which on a field of texts was probably to be one of numbers
_MOST_OFFERED = 20  # values of a number that may be classes as well

_NO_LABELS = {"time": "times", "prose": "texts of many words"}

_POSITIVE_WORDS = frozenset(
    ("ja", "oui", "si", "sí", "sim", "positive", "pos", "+", "spam", "bad", "good", "won", "malignant")
)
_NEGATIVE_WORDS = frozenset(("nein", "non", "não", "negative", "neg", "-", "ham", "lost", "benign", "none", "normal"))

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
class Known:
    """What the user says, and so need not be guessed."""

    label: str | None = None
    task: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """Everything that the settings are written from."""

    path: Path
    folder: Path
    sniffed: Sniffed
    numerals: Numerals
    fields: Sequence[FieldSeen]
    label: FieldSeen
    why_label: str | None  # why it was guessed; None if it was said
    task: str
    label_settings: str  # in YAML

    @property
    def event_time(self) -> FieldSeen | None:
        times = (field for field in self.fields if field.kind == "time" and field is not self.label)
        return next((field for field in times if not field.nulls), None)

    @property
    def key(self) -> FieldSeen | None:
        return next((field for field in self.fields if field is not self.label and field.key and not field.nulls), None)


def label_of(fields: Sequence[FieldSeen], name: str | None) -> tuple[FieldSeen | None, str | None]:
    """Return the label, and why it was chosen unless it was named: None if there is none.

    Raises DataError if no field has the name.
    """
    if name is not None:
        return _named(fields, name), None
    able = [f for f in fields if f.name and f.kind in {"number", "boolean", "text", "labels"} and not f.identifier]
    for names in _LABEL_NAMES:
        for field in able:
            if field.name.rpartition(".")[2].lower() in names:
                return field, "labels are often called that"
    named = [field for field in able if _LABEL_PATTERN.fullmatch(field.name)]
    if named:
        return named[-1], "labels are often called like that"
    others = [f for f in able if not (f.constant or f.key or f.counter or _is_one_text(f))]
    return (others[-1], "it is the last field that can be one") if others else (None, None)


def _named(fields: Sequence[FieldSeen], name: str) -> FieldSeen:
    found = next((field for field in fields if field.name == name), None)
    if found is None:
        known = meant_or_known(name, [field.name for field in fields])
        raise DataError(f"no record has a field {name!r}{known}. Nothing was written.")
    return found


def _is_one_text(field: FieldSeen) -> bool:
    """Whether all values are the same text, so that there are no two classes."""
    return field.kind == "text" and len(field.distinct) < 2


def left_out(field: FieldSeen) -> str | None:
    """Return why a field is not a feature; None if it is. A constant number is one: it may change later."""
    return next(_reasons_against(field), None)


def _reasons_against(field: FieldSeen) -> Iterator[str]:
    if not field.name:
        yield "it has no name"
    if field.kind in {"other", "labels"}:
        yield _no_form(field)
    if field.constant and field.kind == "text":
        yield f"it is always {shown(field.values[0])}"
    if field.counter:
        yield "it counts the records; to learn from it: float"
    if field.identifier:
        words = field.kind == "text" and of_several_words(field.values)
        way = f"; to learn from its words: {{text: {text_form(field.values)}}}" if words else ""
        yield f"it is different in every record{way}"
    if field.key:
        yield f"it says whose record it is; to learn from it: {{hash: {hash_size(field)}}}"
    if field.kind == "time" and field.nulls:
        yield f"{field.nulls} records lack it, and nothing can stand in for a time"


def _no_form(field: FieldSeen) -> str:
    if not field.values:
        return "it was always missing"
    kinds = sorted({type(value).__name__ for value in field.values})
    if kinds == ["list"]:
        return "it holds lists of no fixed form"
    return f"it holds values that are no feature ({', '.join(kinds)})"


def hash_size(field: FieldSeen) -> int:
    """Return a size with room for ten times the values seen, so that few of them share an index."""
    return int(2 ** math.ceil(math.log2(10 * len(field.distinct))))


def task_of(label: FieldSeen, task: str | None = None, *, whole: bool = True) -> tuple[str, str]:
    """Return the task, guessed if it is None, and the label's settings in YAML. Raises DataError if they do not fit.

    `whole` says that there are no more records than those that were seen.
    """
    task = task or _likely_task(label)
    name = yaml(label.name)
    kinds = {"multi_label": {"labels"}, "regression": {"number"}}.get(task, {"boolean", "number", "text"})
    if label.kind not in kinds:
        raise DataError(
            f"the label {label.name} holds {label.kind} values, which cannot be learned as {task}{_NOTHING}"
        )
    if task == "multi_label":
        names = sorted({item for value in label.values for item in value})
        return task, f"{{field: {name}, labels: [{', '.join(map(yaml, names))}]}}"
    if task == "regression":
        return task, name
    if len(label.distinct) < 2 and label.kind == "text":
        raise DataError(
            f"the label {label.name} is always {shown(label.distinct[0])} in these records, so there are no two "
            "classes to learn, and nothing was written; name a file in which it varies"
        )
    return task, _two_values(label, name) if task == "binary" else _classes(label, name, whole=whole)


_NOTHING = "; name another --label or --task. Nothing was written."


def _likely_task(label: FieldSeen) -> str:
    distinct = label.distinct
    if label.kind == "labels":
        return "multi_label"
    if label.kind in _NO_LABELS:
        raise DataError(
            f"the field {label.name} holds {_NO_LABELS[label.kind]}, which no task learns; name another --label. "
            "Nothing was written."
        )
    if label.kind == "boolean" or set(distinct) <= {0, 1} or len(distinct) == 2:
        return "binary"
    if label.kind == "text":
        if len(distinct) > _MOST_CLASSES:
            raise DataError(
                f"the field {label.name} holds {len(distinct)} different texts, too many classes to guess; if they are "
                "the classes, say --task classes, else name another --label. Nothing was written."
            )
        return "classes"
    counts = all(value % 1 == 0 for value in distinct) and set(distinct) == set(range(len(distinct)))
    return "classes" if counts else "regression"


def _two_values(label: FieldSeen, name: str) -> str:
    if label.kind == "boolean" or set(label.distinct) <= {0, 1}:
        return name
    if len(label.distinct) > 2:
        few = ", ".join(map(shown, label.distinct[:5]))
        raise DataError(
            f"the label {label.name} has {len(label.distinct)} values ({few}, ...), a binary one two{_NOTHING}"
        )
    return f"{{field: {name}, values: [{', '.join(map(yaml, _in_order(label)))}]}}"


def _in_order(label: FieldSeen) -> list[Any]:
    """Return two values, the negative one first."""
    values = sorted(label.distinct, key=str)
    words = [str(value).strip().lower() for value in values]
    return values[::-1] if words[0] in _POSITIVE_WORDS or words[-1] in _NEGATIVE_WORDS else values


def _classes(label: FieldSeen, name: str, *, whole: bool) -> str:
    known = f"{{max: {max(_LEAST_ROOM, 2 * len(label.distinct))}}}" if not whole else _closed(label)
    return f"{{field: {name}, classes: {known}}}"


def _closed(label: FieldSeen) -> str:
    """Return the classes that were seen, as a setting that has room for no other."""
    distinct = label.distinct
    if label.kind == "number" and set(distinct) == set(range(len(distinct))):
        return str(len(distinct))
    values = sorted(distinct) if label.kind == "number" else sorted(distinct, key=str)
    return f"[{', '.join(map(yaml, values))}]"


def may_be_classes(label: FieldSeen, task: str | None) -> bool:
    """Whether a label of which nearly all values are numbers may be meant as classes, the others among them."""
    few = len(label.distinct) + len(label.words) <= _MOST_OFFERED
    return task in {"classes", "binary"} or (task is None and bool(label.words) and few)


def odd_note(field: FieldSeen) -> str | None:
    """Say what becomes of values that are not like nearly all others; None if there are none."""
    count = len(field.odd)
    if not count:
        return None
    all_, noun, such = count + len(field.values) + field.nulls, field.kind, shown(field.odd[0])
    if count == 1:
        return f"1 of {all_:,} is no {noun} ({such}): a dead letter"
    return f"{count:,} of {all_:,} are no {noun}s (such as {such}): dead letters"


def mixed_note(field: FieldSeen, texts: Texts) -> str | None:
    """Say that a field of texts holds numbers, most of all; None if it does not."""
    if field.kind != "text":
        return None
    others = [value for value in field.distinct if not are_numbers([value], texts)]
    counts = Counter(field.values)
    share = 1 - sum(counts[value] for value in others) / max(len(field.values), 1)
    if not others or share < _MOSTLY:
        return None
    return f"{share:.0%} of its values are numbers, but {shown(others[0])} is none, so it is taken for text"


def positive_note(label: FieldSeen, task: str) -> str | None:
    """Say which value of a binary label is the positive one, unless it is 1."""
    if task != "binary" or set(label.distinct) <= {0, 1}:
        return None
    if label.kind == "boolean":
        truth = {value: TRUE_OR_FALSE.get(str(value).strip().lower()) for value in label.distinct}
        yes, no = ([value for value in truth if truth[value] == number] for number in (1, 0))
    else:
        no, yes = ([value] for value in _in_order(label))
    if not yes or not no:
        return None
    share = sum(value in yes for value in label.values) / len(label.values)
    other = f"{{field: {yaml(label.name)}, positive: {yaml(no[0])}}}"
    return f"1 is {shown(yes[0])}, in {share:.0%} of these records; the other way round: {other}"


def header_note(fields: Sequence[FieldSeen], texts: Texts) -> str | None:
    """Say that the header of a table looks like one of its records: each column of numbers has a number for a name."""
    numbers = [field.kind == "number" for field in fields]
    if not any(numbers) or numbers != [are_numbers([field.name], texts) for field in fields]:
        return None
    return "the first line, taken for the header, looks like a record: if it is one, put a line of names before it"


def order_note(label: FieldSeen, form: str) -> str | None:
    """Say that the records are sorted by the label, if so: each value comes in one long run."""
    runs = 1 + sum(before != after for before, after in pairwise(label.values))
    if label.constant or runs > len(label.distinct) or runs * _LEAST_RUN > len(label.values):
        return None
    way = "(head -1 A; tail -n +2 A | shuf) > B" if form == "csv" else "shuf A > B"
    return f"the records are sorted by it. One value is learnt after the other: unless time made that order, {way}"


def room_note(label: FieldSeen, label_settings: str) -> str | None:
    """Say why there is room for classes that were not seen."""
    if "classes: {max:" not in label_settings:
        return None
    once, all_ = _seen_once(label), len(label.distinct)
    if once:
        return f"{once} of {all_} classes came once in these records, so others will come; they are learnt as they do"
    few = f"classes: {_closed(label)}" if all_ <= _MOST_OFFERED else f"list these {all_}"
    return f"not all records were seen; classes that come later are learnt as they do; if there are none: {few}"


def _seen_once(label: FieldSeen) -> int:
    """Return how many values came once: the share of them among all records estimates that of values not seen yet.

    Source: Good, "The population frequencies of species and the estimation of population parameters" (1953).
    """
    return sum(count == 1 for count in Counter(label.values).values())


def closed_note(label_settings: str, *, whole: bool) -> str | None:
    """Say what becomes of other values than those that are listed, if not all records were seen."""
    if whole or not any(key in label_settings for key in (", values: [", ", labels: [")):
        return None
    way = "add what may come" if ", labels: [" in label_settings else "--task classes learns them as they come"
    return f"not all records were seen; one with a value that is not in this list is a dead letter: {way}"


def classes_note(label: FieldSeen, task: str) -> str | None:
    """Offer classes for a number with few values."""
    if task != "regression" or len(label.distinct) > _MOST_OFFERED or any(value % 1 for value in label.distinct):
        return None
    way = f"learnd init --label {yaml(label.name)} --task classes"
    return f"it has {len(label.distinct)} values; if they are classes: {way}"
