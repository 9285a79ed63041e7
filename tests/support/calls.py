"""Calls and reports of one input and one target, from plain arrays."""

from typing import Any

import numpy as np

from learnd.daemon.values import FEATURES, LABEL, Call, Report, Samples, Skip, Span


def samples(x: Any, y: Any) -> Samples:
    """Return samples of features (m, columns) and labels (m, O), or both in batches, each of weight 1."""
    x = np.asarray(x, np.float32)
    return Samples({FEATURES: x}, {LABEL: np.asarray(y, np.float32)}, np.ones(x.shape[:-1], np.float32))


def made_call(
    x: Any, y: Any, *, held: Samples | None = None, first: int = 0, spans: tuple[Span, ...] = (), partial: bool = False
) -> Call:
    """Return a call of features (K, B, columns) and labels (K, B, O), behind `first` samples."""
    batches = samples(x, y)
    nothing = batches.in_a_row()[:0]
    held = nothing if held is None else held
    return Call(spans, batches, held, partial, batches.weight.size + len(held), first)


def made_report(outputs: Any, skipped: Any = None) -> Report:
    """Return a report of outputs (K, B, C); `skipped` (K,) are of `Skip`, NONE unless given."""
    outputs = np.asarray(outputs, np.float32)
    figures = np.ones(len(outputs), np.float32)
    skips = np.full(len(outputs), Skip.NONE, np.uint8) if skipped is None else np.asarray(skipped, np.uint8)
    return Report({LABEL: outputs}, figures, figures, skips)


def first_column(inputs: Any) -> Any:
    """Return the first feature (m, 1) as the outputs of the target: a model whose predictions its inputs hold."""
    return {LABEL: inputs[FEATURES][:, :1]}
