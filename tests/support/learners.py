"""Small learners and calls for them, on a stream of four numbers and a category."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from learnd.daemon.training.learner import KerasLearner
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings, TrainSettings
from learnd.daemon.values import FEATURES, LABEL, Call, Column, ColumnKind, Samples, SampleSpec, Task

BINARY = Task("binary", 1, 1)
NUMBERS = SampleSpec.of_columns([Column(f"x{i}", ColumnKind.NUMBER) for i in range(4)], BINARY)
MIXED = SampleSpec.of_columns((*NUMBERS.columns, Column("kind", ColumnKind.CATEGORY, 30)), BINARY)
KINDS = SampleSpec.of_columns(MIXED.columns, Task("classes", 4, 1))
VALUE = SampleSpec.of_columns(MIXED.columns, Task("regression", 1, 1))

_rng = np.random.default_rng(0)
X = _rng.normal(3, 2, size=(12_000, 5)).astype(np.float32)
X[:, 4] = _rng.integers(0, 30, len(X))
Y = (X[:, :1] * X[:, 1:2] > 9).astype(np.float32)


def call(start: int, updates: int, rows: int, width: int = 5, *, x: Any = X, y: Any = Y, partial: bool = False) -> Call:
    """Return a call of `updates` batches of `rows` samples, from sample `start` of the stream on."""
    end = start + updates * rows
    samples = Samples({FEATURES: x[start:end, :width]}, {LABEL: y[start:end]}, np.ones(end - start, np.float32))
    batches = samples.in_batches(updates, rows)
    return Call(spans=(), batches=batches, held=samples[:0], partial=partial, records=end - start, first=start)


def learner(
    spec: SampleSpec = MIXED,
    model: dict[str, Any] | None = None,
    guard: dict[str, Any] | None = None,
    phases: list[dict[str, Any]] | None = None,
    *,
    rate_fixable: bool = False,
    **train: Any,
) -> KerasLearner:
    """Return a learner in graph mode with calls of one length, unless told otherwise: XLA takes seconds to compile."""
    settings = TrainSettings(**{"max_updates_per_call": 32, "xla": False, **train})
    chosen = [PhaseSettings.model_validate(phase) for phase in phases or []]
    guarding = GuardSettings(**(guard or {}))
    return KerasLearner(ModelSettings(**(model or {})), settings, spec, guarding, chosen, rate_fixable=rate_fixable)


def bits(one: KerasLearner) -> str:
    """Return a digest of everything that the learner's next updates depend on."""
    return one.state().digest()


def assert_cuts_and_undo_leave_no_trace(make: Callable[..., KerasLearner]) -> None:
    """Train learners on the same samples in calls of other lengths, take a call back, and compare all bits."""
    ends = []
    for cuts in ([0, 64], [0, 1, 8, 64]):
        one = make(max_updates_per_call=64)
        for start, end in pairwise(cuts):
            one.update(call(start, end - start, 1, 4))
        ends.append(bits(one))
    assert ends[0] == ends[1]
    one.update(call(64, 9, 1, 4))
    one.undo()
    assert bits(one) == ends[0]
