"""Writes the guesses as a commented settings file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from learnd.daemon.errors import DataError
from learnd.daemon.stream.decoding.rounding import WAY_OUT, lossy_step
from learnd.daemon.stream.inferring.dates import other_reading
from learnd.daemon.stream.inferring.guesses import (
    Guess,
    classes_note,
    closed_note,
    hash_size,
    header_note,
    left_out,
    mixed_note,
    odd_note,
    order_note,
    positive_note,
    room_note,
)
from learnd.daemon.stream.inferring.numerals import USUAL_MISSING
from learnd.daemon.stream.inferring.prose import is_of_words, text_form
from learnd.daemon.stream.inferring.seen import FieldSeen
from learnd.daemon.stream.inferring.sniffing import reasons
from learnd.daemon.stream.inferring.words import shown, yaml

_MOST_LISTED = 20  # different texts that are listed as a category; if there are more, they are hashed

_NOTE_COLUMN = 44


def written(guess: Guess) -> str:
    return "\n".join([*_head(guess), *_model(guess), *_source(guess), *_samples(guess), *_rest(guess)]) + "\n"


def _head(guess: Guess) -> Iterator[str]:
    yield f"# learnd settings, inferred from {_what_was_seen(guess)}."
    yield "# They are guesses: check them."
    yield from (f"# {note}" for note in _notes_of_records(guess))


def notes(guess: Guess) -> Iterator[str]:
    """Yield what the comments say that somebody who does not read them has to know."""
    yield from _notes_of_records(guess)
    for field in guess.fields:
        if field is not guess.label and (why := left_out(field)):
            yield f"{shown(field.name)} is left out: {why}"
        elif note := odd_note(field):
            yield f"{shown(field.name)}: {note}"
    yield from _notes_of_label(guess)


def _notes_of_records(guess: Guess) -> Iterator[str]:
    sniffed = guess.sniffed
    if sniffed.format == "csv" and (note := header_note(guess.fields, guess.numerals.texts)) is not None:
        yield f"{note}."
    if sniffed.broken:
        why = " ".join(reasons(sniffed.broken).split())
        yield f"{len(sniffed.broken)} more could not be read; a run would reject them: {why}"
    mixed = ((field, mixed_note(field, guess.numerals.texts)) for field in guess.fields)
    yield from (f"{shown(field.name)}: {note}" for field, note in mixed if note)


def _what_was_seen(guess: Guess) -> str:
    sniffed, name = guess.sniffed, guess.path.name
    count = f"{len(sniffed.records):,} records"
    which = f"all {count}" if sniffed.whole else f"{count} from all parts" if sniffed.spread else f"the first {count}"
    if sniffed.files == 1:
        return f"{which} of {name}"
    some = f"{sniffed.looked_at} of {sniffed.files:,}" if sniffed.looked_at < sniffed.files else f"{sniffed.files}"
    return f"{which} of {some} files ({name})"


def _model(guess: Guess) -> Iterator[str]:
    yield ""
    yield "model:"
    yield "  preset: auto"
    yield _noted(f"  task: {guess.task}", f"{shown(guess.label.name)}: {_seen(guess.label, 'dead letters')}")


def _source(guess: Guess) -> Iterator[str]:
    yield ""
    yield "source:"
    yield "  files:"
    yield f"    path: {yaml(os.path.relpath(guess.path, guess.folder))}"
    yield _noted("    follow: false", "true: follow the file as it grows")


def _samples(guess: Guess) -> Iterator[str]:
    yield ""
    yield "samples:"
    yield f"  format: {guess.sniffed.format}"
    if guess.sniffed.format == "csv" and guess.sniffed.delimiter != ",":
        yield f"  delimiter: {yaml(guess.sniffed.delimiter)}"
    yield from _texts(guess)
    yield from _odd(guess)
    yield "  features:"
    yield from _features(guess)
    yield from _label(guess)
    if guess.event_time is not None:
        name, form = yaml(guess.event_time.name), _time_form(guess.event_time)
        yield "  event_time: " + (name if guess.event_time.unit in {"iso", "s"} else f"{{field: {name}, {form}}}")
    if guess.key is not None:
        yield _noted(f"  key: {yaml(guess.key.name)}", "whose record it is, for a holdout by key")


def _texts(guess: Guess) -> Iterator[str]:
    """Yield how text is to be read, where the usual way does not fit."""
    numerals = guess.numerals
    words = {word: field.name for field in guess.fields for word in field.words}
    if words:
        places = ", ".join(f"{word} in {shown(name)}" for word, name in words.items())
        listed = ", ".join(map(yaml, (*USUAL_MISSING, *words)))
        yield _noted(f"  missing: [{listed}]", f"words for no value: {places}")
    if numerals.decimal != ".":
        yield _noted(f"  decimal: {yaml(numerals.decimal)}", "the mark of the fraction")
    if numerals.thousands is not None:
        yield _noted(f"  thousands: {yaml(numerals.thousands)}", "the mark between thousands")
    if numerals.units:
        units = ", ".join(map(yaml, numerals.units))
        yield _noted(f"  units: [{units}]", "passed over beside numbers; nothing is converted")


def _odd(guess: Guess) -> Iterator[str]:
    """Yield the way out for texts among numbers, if they stand for no value."""
    fields = (f for f in guess.fields if f.kind == "number" and f is not guess.label and not left_out(f))
    words = ((field, next((value for value in field.odd if isinstance(value, str)), None)) for field in fields)
    places = [f"{yaml(word)} in {shown(field.name)}" for field, word in words if word is not None]
    if places:
        way = "put it in `missing`, and give the feature {type: float, default: 0}"
        yield f"  # if {', '.join(places)} means no value: {way}"


def _label(guess: Guess) -> Iterator[str]:
    yield from (f"  # {note}" for note in _notes_of_label(guess))
    line = f"  label: {guess.label_settings}"
    yield line if guess.why_label is None else _noted(line, f"guessed: {guess.why_label}; if not: init --label NAME")


def _notes_of_label(guess: Guess) -> Iterator[str]:
    label = guess.label
    found = [
        positive_note(label, guess.task),
        classes_note(label, guess.task),
        order_note(label, guess.sniffed.format),
        room_note(label, guess.label_settings),
        closed_note(guess.label_settings, whole=guess.sniffed.whole),
    ]
    yield from (f"{shown(label.name)}: {note}" for note in found if note)


def _features(guess: Guess) -> Iterator[str]:
    lines = [_feature(field) for field in guess.fields if field is not guess.label]
    if all(line.lstrip().startswith("#") for line in lines):
        raise DataError(
            f"{guess.path}: no field except the label {guess.label.name} can be a feature; write the settings yourself"
        )
    yield from lines


def _feature(field: FieldSeen) -> str:
    if why := left_out(field):
        return f"    # {yaml(field.name)} is left out: {why}"
    return _noted(f"    {yaml(field.name)}: {_feature_form(field)}", _seen(field, "for which 0 stands in"))


def _feature_form(field: FieldSeen) -> str:
    """Return the feature in YAML."""
    if field.kind == "time":
        return f"{{timestamp: [{', '.join(field.parts)}], {_time_form(field)}}}"
    if field.kind == "vector":
        return f"{{vector: {len(field.values[0])}}}"
    if field.kind == "text":
        return _category(field)
    if field.kind == "prose":
        default = ', default: ""' if field.nulls or not all(map(is_of_words, field.values)) else ""
        return f"{{text: {text_form(field.values)}{default}}}"
    name = "float" if field.kind == "number" else "boolean"
    return f"{{type: {name}, default: 0}}" if field.nulls else name


def _time_form(field: FieldSeen) -> str:
    return f"unit: {field.unit}" if field.date_format is None else f"date_format: {yaml(field.date_format)}"


def _category(field: FieldSeen) -> str:
    default = ', default: ""' if field.nulls else ""
    if len(field.distinct) <= _MOST_LISTED:
        return f"{{values: [{', '.join(map(yaml, field.distinct))}]{default}}}"
    return f"{{hash: {hash_size(field)}{default}}}"


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
    yield _noted("  dir: state", "where a restart continues from")
    yield ""
    yield "http:"
    yield _noted('  listen: "127.0.0.1:9464"', "a page to look at, metrics, health")


def _noted(line: str, note: str) -> str:
    return f"{line:<{_NOTE_COLUMN}}  # {note}"


def _seen(field: FieldSeen, without: str) -> str:
    """Say in a few words what a field holds. `without` is what becomes of a record that lacks a number."""
    distinct = field.distinct
    nulls = f"; {field.nulls} missing" if field.nulls else ""
    if field.nulls and field.kind in {"number", "boolean"}:
        nulls += f", {without}"
    if note := odd_note(field):
        nulls += f"; {note}"
    if field.constant:
        return f"always {shown(field.values[0])} so far{nulls}"
    if field.kind == "number":
        few = ", ".join(map(shown, distinct)) if len(distinct) <= 4 else None
        return (few or f"{shown(min(field.values))} to {shown(max(field.values))}") + nulls + _steps(field)
    if field.kind == "vector":
        return f"{len(field.values[0])} numbers{nulls}"
    if field.kind == "time":
        other = other_reading(field.values, field.date_format) if field.date_format else None
        doubt = f"; it may be {other}" if other else ""
        return f"such as {shown(field.values[0])}{nulls}{doubt}"
    if len(distinct) <= 4:
        return ", ".join(map(shown, distinct)) + nulls
    return f"{len(distinct)} different ones, such as {shown(distinct[0])}, {shown(distinct[1])}{nulls}"


def _steps(field: FieldSeen) -> str:
    """Say if 32-bit floats cannot tell the values of a number apart."""
    step = lossy_step(np.array(field.values))
    return "" if step is None else f"; the model gets it in steps of {step:g}: {WAY_OUT}"
