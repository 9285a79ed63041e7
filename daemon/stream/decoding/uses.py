"""The fields that are read of a record, and what becomes of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from learnd.daemon.stream.decoding.columns import ColumnReader, InputReader
from learnd.daemon.stream.decoding.fields import Path, field_path
from learnd.daemon.stream.decoding.keys import NAME_OF_KEY, RECORD_KEY
from learnd.daemon.stream.decoding.labels import label_reader
from learnd.daemon.stream.decoding.times import TimeReader
from learnd.daemon.stream.settings import SamplesSettings
from learnd.daemon.tasks.registry import KINDS
from learnd.daemon.values import SampleSpec

_Reader: TypeAlias = ColumnReader | InputReader


@dataclass(frozen=True, slots=True)
class Use:
    """A field, and the columns of the table that its reader fills. An input of its own has one, which says whether it
    could be read; these come last.
    """

    name: str
    path: Path
    reader: _Reader
    columns: slice
    of: str  # the input of a feature; empty for all else


def uses_of(settings: SamplesSettings, spec: SampleSpec) -> tuple[Use, ...]:
    """Return the fields to read, in the order of the table: columns of features, label, weight, event time, and inputs
    of their own.
    """
    uses = []
    start = 0
    for name, path, reader, of in sorted(_readers(settings, spec), key=lambda each: isinstance(each[2], InputReader)):
        uses.append(Use(name, path, reader, slice(start, start + reader.width), of))
        start += reader.width
    return tuple(uses)


def _readers(settings: SamplesSettings, spec: SampleSpec) -> Iterator[tuple[str, Path, _Reader, str]]:
    """Yield the name of each field, its path, its reader, and the input that it is of if it is a feature."""
    texts, path = settings.texts(), partial(field_path, settings.format)
    for of, part in settings.parts().items():
        for name in part.features:
            feature = settings.features[name]
            field = feature.field or name
            yield field, path(field), feature.kind.reader(feature, texts), of
    labels = {target.name: target.label for target in settings.targets("")}
    for target in spec.targets:
        label = labels[target.name]
        form = KINDS[target.task.kind].form(label)
        if label.is_key:
            yield NAME_OF_KEY, RECORD_KEY, label_reader(form, texts, target.task.shape), ""
        for field in label.fields():
            yield field, path(field), label_reader(form, texts, target.task.shape), ""
    for field, reader in settings.weights().readers(texts):
        yield field, path(field), reader, ""
    if settings.event_time is not None:
        time = settings.event_time
        yield time.field, path(time.field), TimeReader(time.unit, texts, time.date_format), ""
