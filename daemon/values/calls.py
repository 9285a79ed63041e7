"""Calls: what trains at once, what the journal holds of it, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Float32, Note
from learnd.daemon.values.records import Origin, Rejection, Span


@dataclass(frozen=True, slots=True)
class Call:
    """K updates of B samples, in order, and all that was consumed with them.

    The spans cover each record up to the last trained one, the rejected and held-out ones between them
    included. A partial call is a single update of fewer samples than the settings say. A call of no update
    moves the position past records none of which train.
    """

    spans: tuple[Span, ...]
    x: NDArray[Any]  # (K, B, ...)
    y: Float32  # (K, B, O)
    weight: Float32  # (K, B)
    partial: bool
    held_x: NDArray[Any]  # (h, ...)
    held_y: Float32  # (h, O)
    records: int
    rejections: tuple[Rejection, ...] = ()
    event_time_s: float | None = None  # of the newest trained sample
    notes: tuple[Note, ...] = ()
    origins: tuple[Origin, ...] | None = None  # of all trained samples; None where nobody asks for them
    next_phase: str | None = None  # the id of an operator's request for the next phase, which begins ahead of the call

    @property
    def updates(self) -> int:
        return int(self.x.shape[0])

    @property
    def samples(self) -> int:
        return int(self.x.shape[0] * self.x.shape[1])


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """What the journal holds of a call: all that its composition depends on, beside the source's records."""

    number: int  # of the call, from 0
    spans: tuple[Span, ...]
    updates: int
    rows: int
    notes: tuple[Note, ...]
    next_phase: str | None = None  # as `Call.next_phase`
    settings: str = ""  # the fingerprint of the settings that it was written under

    @classmethod
    def of(cls, number: int, call: Call) -> JournalEntry:
        return cls(number, call.spans, call.updates, int(call.x.shape[1]), call.notes, call.next_phase)


class Skip(IntEnum):
    """Why an update left every variable untouched. The names, in lower case, label a metric."""

    NONE = 0
    NON_FINITE = 1  # loss, gradients or layer statistics
    LOSS = 2  # far above what is usual
    GRADIENT_NORM = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What the updates of one call did. Rows of `outputs` are predictions made before the update on them."""

    outputs: Float32  # (K, B, C) probabilities, or values for a regression
    loss: Float32  # (K,)
    gradient_norm: Float32  # (K,)
    skipped: NDArray[np.uint8]  # (K,) of Skip: 0 where the update changed variables

    @classmethod
    def joined(cls, reports: Sequence[Report]) -> Report:
        """Return one report of the updates of all of them, in this order; there is at least one."""
        if len(reports) == 1:
            return reports[0]
        return cls(*(np.concatenate([getattr(report, field.name) for report in reports]) for field in fields(cls)))

    def skips(self) -> dict[str, int]:
        """Return how many updates were skipped, by reason."""
        counts = np.bincount(self.skipped, minlength=len(Skip))
        return {reason.name.lower(): int(counts[reason]) for reason in Skip if reason and counts[reason]}
