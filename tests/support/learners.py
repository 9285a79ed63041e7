"""Small learners and calls for them, on a stream of four numbers and a category."""

from typing import Any

import numpy as np

from learnd.daemon.state.digest import digest
from learnd.daemon.training.learner import Learner
from learnd.daemon.training.settings import GuardSettings, ModelSettings, PhaseSettings, TrainSettings
from learnd.daemon.values import Call, Column, ColumnKind, SampleSpec, Task

BINARY = Task("binary", 1, 1)
NUMBERS = SampleSpec(tuple(Column(f"x{i}", ColumnKind.NUMBER) for i in range(4)), BINARY)
MIXED = SampleSpec((*NUMBERS.columns, Column("kind", ColumnKind.CATEGORY, 30)), BINARY)

_rng = np.random.default_rng(0)
X = _rng.normal(3, 2, size=(12_000, 5)).astype(np.float32)
X[:, 4] = _rng.integers(0, 30, len(X))
Y = (X[:, :1] * X[:, 1:2] > 9).astype(np.float32)


def call(start: int, updates: int, rows: int, width: int = 5, *, x: Any = X, y: Any = Y, partial: bool = False) -> Call:
    """Return a call of `updates` batches of `rows` samples, from sample `start` on."""
    end = start + updates * rows
    return Call(
        spans=(),
        x=x[start:end, :width].reshape(updates, rows, width),
        y=y[start:end].reshape(updates, rows, -1),
        weight=np.ones((updates, rows), np.float32),
        partial=partial,
        held_x=x[:0],
        held_y=y[:0],
        records=end - start,
    )


def learner(
    spec: SampleSpec = MIXED,
    model: dict[str, Any] | None = None,
    guard: dict[str, Any] | None = None,
    phases: list[dict[str, Any]] | None = None,
    **train: Any,
) -> Learner:
    """Return a learner, by default in graph mode with calls of one length, since XLA takes seconds to compile."""
    settings = TrainSettings(**{"max_updates_per_call": 32, "xla": False, **train})
    chosen = [PhaseSettings.model_validate(phase) for phase in phases or []]
    return Learner(ModelSettings(**(model or {})), settings, spec, GuardSettings(**(guard or {})), chosen)


def bits(one: Learner) -> str:
    """Return a digest of everything that the learner's next updates depend on."""
    arrays, facts = one.state()
    return digest(arrays, facts)
