"""Calls: what trains at once, what the journal holds of it, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Arrays, Facts, Float32, Note
from learnd.daemon.values.commands import Command
from learnd.daemon.values.events import Event
from learnd.daemon.values.records import Origin, Rejection, Span
from learnd.daemon.values.samples import Samples


@dataclass(frozen=True, slots=True)
class Call:
    """K updates of B samples, in order, and all that was consumed with them.

    The spans cover each record up to the last trained one, the rejected and held-out ones between them
    included. A partial call is a single update of fewer samples than the settings say. A call of no update
    moves the position past records none of which train, or carries commands alone.

    `first` is the one clock: how many samples of the stream went through updates before this call. Everything that
    is due at a count of samples counts these.
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
    origins: tuple[Origin, ...] | None = None  # of all trained samples; None if nobody asks for them
    commands: tuple[Command, ...] = ()  # that act ahead of it

    @property
    def updates(self) -> int:
        """K."""
        return int(self.batches.weight.shape[0])

    @property
    def rows(self) -> int:
        """B, the samples of an update."""
        return int(self.batches.weight.shape[1])

    @property
    def samples(self) -> int:
        return self.updates * self.rows

    @property
    def end(self) -> int:
        """How many samples of the stream went through updates up to the end of this call."""
        return self.first + self.samples

    def passes(self, every: int) -> bool:
        """Whether a multiple of `every` samples is reached within this call."""
        return self.first // every < self.end // every

    def part(self, start: int, end: int) -> Call:
        """Return the updates from `start` up to `end`, for the learner and whoever looks at its updates."""
        return replace(self, batches=self.batches[start:end], first=self.first + start * self.rows)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What the journal holds of a call: all that its composition depends on, beside the source's records."""

    number: int  # of the call, from 0
    spans: tuple[Span, ...]
    updates: int
    rows: int
    notes: tuple[Note, ...]
    commands: tuple[Command, ...] = ()
    settings: str = ""  # the fingerprint of the settings that it was written under

    @classmethod
    def of(cls, number: int, call: Call) -> JournalEntry:
        return cls(number, call.spans, call.updates, call.rows, call.notes, call.commands)


class Skip(IntEnum):
    """Why an update left every variable untouched. The names, in lower case, label a metric."""

    NONE = 0
    NON_FINITE = 1  # loss, gradients or layer statistics
    LOSS = 2  # far above what is usual
    GRADIENT_NORM = 3


@dataclass(frozen=True, slots=True)
class PhaseBegun:
    """A phase of the training has begun, behind so many samples of the stream; `ends_on` is what will end it."""

    samples: int
    ends_on: str | None
    data: Facts  # number, cause, trainable parameters, layers

    @property
    def event(self) -> Event:
        return Event("phase", self.samples, self.data)


@dataclass(frozen=True, slots=True)
class Report:
    """What the updates of one call did. Rows of `outputs` are predictions made before the update on them."""

    outputs: Arrays  # of each target (K, B, C) float32: probabilities, or values of a regression
    loss: Float32  # (K,)
    gradient_norm: Float32  # (K,)
    skipped: NDArray[np.uint8]  # (K,) of Skip: 0 if the update changed variables
    phases: tuple[PhaseBegun, ...] = ()  # that began within or right behind the call

    @classmethod
    def joined(cls, reports: Sequence[Report]) -> Report:
        """Return one report of the updates of all of them, in this order; there is at least one."""
        if len(reports) == 1:
            return reports[0]
        return cls(
            {name: np.concatenate([report.outputs[name] for report in reports]) for name in reports[0].outputs},
            np.concatenate([report.loss for report in reports]),
            np.concatenate([report.gradient_norm for report in reports]),
            np.concatenate([report.skipped for report in reports]),
            tuple(phase for report in reports for phase in report.phases),
        )

    def skips(self) -> dict[str, int]:
        """Return how many updates were skipped, by reason."""
        counts = np.bincount(self.skipped, minlength=len(Skip))
        return {reason.name.lower(): int(counts[reason]) for reason in Skip if reason and counts[reason]}
