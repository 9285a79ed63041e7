"""Calls: what is trained at once, its entry in the journal, and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Arrays, Facts, Float32, Int64, Note
from learnd.daemon.values.commands import Command
from learnd.daemon.values.events import Event
from learnd.daemon.values.records import KeyedRows, Origin, Rejection, Span
from learnd.daemon.values.said import Said
from learnd.daemon.values.samples import Samples


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Classes that are learnt from the stream, in the order in which they came, and how many of them have trained."""

    names: Sequence[str]
    trained: int


def known_before(labels: NDArray[Any], known: int) -> Int64:
    """Return how many learnt classes were known before each of the labels (m,) and after the last: (m + 1,).

    Classes are numbered as they come, so that they are one more than the highest index. `known` of them came earlier.
    """
    return np.maximum.accumulate(np.append(known, labels.astype(np.int64) + 1))


@dataclass(frozen=True, slots=True)
class Call:
    """K updates of B samples, in order, and everything that was consumed with them.

    The spans cover each record up to the last trained one, including the rejected and held-out ones in between. A
    partial call is a single update of fewer samples than the settings say. A call without updates moves the position
    past records that do not train, or only carries commands.

    `first` is the clock of the stream: the number of samples that went through updates before this call. Everything
    that is due at a count of samples uses this count. The age of the weights, which schedules and phases go by, is the
    learner's own: a rollback takes it back, and never the clock.
    """

    spans: tuple[Span, ...]
    batches: Samples  # (K, B, ...)
    held: Samples  # (h, ...) held out
    partial: bool
    records: int
    first: int = 0
    rejections: tuple[Rejection, ...] = ()
    event_time_s: float | None = None  # of the newest trained sample
    notes: tuple[Note, ...] = ()
    origins: tuple[Origin, ...] | None = None  # of all trained samples; None if nothing needs them
    commands: tuple[Command, ...] = ()  # that act before the call
    new_classes: tuple[str, ...] = ()  # that came with its samples, held-out ones included
    classes: ClassNames | None = None  # those at its end, and how many trained before it; None unless they are learnt
    keyed: tuple[KeyedRows, ...] = ()  # what later windows are made of, of all its records; none without windows

    @property
    def updates(self) -> int:
        """K, the number of updates."""
        return int(self.batches.weight.shape[0])

    @property
    def rows(self) -> int:
        """B, the number of samples of each update."""
        return int(self.batches.weight.shape[1])

    @property
    def samples(self) -> int:
        return self.updates * self.rows

    @property
    def known(self) -> Int64 | None:
        """How many learnt classes had trained before each sample and behind the last (K * B + 1,); None without any."""
        if self.classes is None:
            return None
        (labels,) = self.batches.targets.values()
        return known_before(labels.ravel(), self.classes.trained)

    @property
    def end(self) -> int:
        """The number of samples that went through updates up to the end of this call."""
        return self.first + self.samples

    def in_a_row(self, arrays: Arrays) -> Arrays:
        """Return arrays (K, B, ...) with a row for each sample: (K * B, ...)."""
        return {name: array.reshape(self.samples, *array.shape[2:]) for name, array in arrays.items()}

    def passes(self, every: int) -> bool:
        """Whether a multiple of `every` samples is reached within this call."""
        return self.first // every < self.end // every

    def part(self, start: int, end: int) -> Call:
        """Return a call of the updates from `start` up to, but not including, `end`."""
        known, classes = self.known, self.classes
        if known is not None and classes is not None:
            classes = replace(classes, trained=int(known[start * self.rows]))
        return replace(self, batches=self.batches[start:end], first=self.first + start * self.rows, classes=classes)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What the journal holds of a call: all that it was made of, except for the records, which the source has."""

    number: int  # of the call, from 0
    spans: tuple[Span, ...]
    updates: int
    rows: int
    notes: tuple[Note, ...]
    commands: tuple[Command, ...] = ()
    trained_with: Facts = field(default_factory=dict)  # digests of what the model depends on beside the stream

    @classmethod
    def of(cls, number: int, call: Call) -> JournalEntry:
        return cls(number, call.spans, call.updates, call.rows, call.notes, call.commands)


class Skip(IntEnum):
    """Why an update left every variable unchanged. The names, in lower case, label a metric."""

    NONE = 0
    NON_FINITE = 1  # loss, gradients or layer statistics
    LOSS = 2  # far above the usual loss
    GRADIENT_NORM = 3


@dataclass(frozen=True, slots=True)
class PhaseBegun:
    """A training phase began after `samples` samples of the stream. `ends_on` says what will end it."""

    samples: int
    ends_on: str | None
    data: Facts  # number, cause, trainable parameters, layers

    @property
    def event(self) -> Event:
        return Event("phase", self.samples, self.data)


@dataclass(frozen=True, slots=True)
class Report:
    """What the updates of one call did. Each row of `outputs` was predicted before the update on its sample."""

    outputs: Arrays  # of each target (K, B, ..., C) float32: probabilities, or values of a regression
    loss: Float32  # (K,)
    gradient_norm: Float32  # (K,)
    skipped: NDArray[np.uint8]  # (K,) of Skip: 0 if the update changed variables
    phases: tuple[PhaseBegun, ...] = ()  # that began during the call or right after it
    decided: tuple[Event, ...] = ()  # what became of challengers in the call
    said: Mapping[str, Said] = field(default_factory=dict)  # what is said with them, by target, if asked

    @classmethod
    def joined(cls, reports: Sequence[Report]) -> Report:
        """Return one report on the updates of all reports, in this order. There must be at least one report."""
        if len(reports) == 1:
            return reports[0]
        return cls(
            {name: np.concatenate([report.outputs[name] for report in reports]) for name in reports[0].outputs},
            np.concatenate([report.loss for report in reports]),
            np.concatenate([report.gradient_norm for report in reports]),
            np.concatenate([report.skipped for report in reports]),
            tuple(phase for report in reports for phase in report.phases),
            tuple(event for report in reports for event in report.decided),
        )

    def skips(self) -> dict[str, int]:
        """Return the number of skipped updates, by reason."""
        counts = np.bincount(self.skipped, minlength=len(Skip))
        return {reason.name.lower(): int(counts[reason]) for reason in Skip if reason and counts[reason]}
