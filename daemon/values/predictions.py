"""Predictions as they leave the daemon: one for each trained sample, made before the update on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from learnd.daemon.values.arrays import Float32
from learnd.daemon.values.calls import Call, Report
from learnd.daemon.values.said import said_rows


class Prediction(msgspec.Struct, frozen=True, gc=False):  # one is made in a sixth of the time of a data class
    """What was predicted for one sample, and the place of its record."""

    partition: str
    start: int
    end: int
    key: bytes | None
    sequence: int  # how many updates the model had had before
    value: Any  # a number, lists of them (by name of learnt classes), or these by name of several targets
    said: Mapping[str, Any]  # beside it, by the keys that it is written under


def predictions_of(call: Call, report: Report, updates: int) -> Iterator[Prediction]:
    """Yield what was predicted for each trained sample of a call, on a model that has had `updates` before it."""
    if not call.updates:
        return
    assert call.origins is not None, "the batcher was asked for them"
    changed = report.skipped == 0
    had = updates + np.cumsum(changed) - changed
    sequences = np.repeat(had, call.rows).tolist()
    outputs = {**call.in_a_row(report.outputs), **{name: said.outputs for name, said in report.said.items()}}
    names = () if call.classes is None else call.classes.names
    beside = said_rows(report.said, names, alone=len(outputs) == 1)
    values_of = [as_json(array) for array in outputs.values()]
    if call.classes is not None and call.known is not None:
        known = call.known[:-1].tolist()
        values_of = [_by_class(rows, known, call.classes.names) for rows in values_of]
    samples = zip(sequences, *values_of, strict=True)
    for origin in call.origins:
        keys = origin.keys or [None] * len(origin.ends)
        for start, end, key in zip(origin.starts.tolist(), origin.ends.tolist(), keys, strict=True):
            sequence, *values = next(samples)
            value = values[0] if len(values) == 1 else dict(zip(outputs, values, strict=True))
            yield Prediction(origin.partition, start, end, key, sequence, value, next(beside, {}))


def as_json(outputs: Float32) -> list[Any]:
    """Return what is written of each prediction (m, ...): a number, or lists of the shape of the outputs."""
    rows: list[Any] = (outputs[:, 0] if outputs.shape[1:] == (1,) else outputs).tolist()
    return rows


def _by_class(rows: Sequence[Sequence[float]], known: Sequence[int], names: Sequence[str]) -> list[dict[str, float]]:
    """Return the probability of each class that had trained before a sample, by its name."""
    return [dict(zip(names[:count], row, strict=False)) for count, row in zip(known, rows, strict=True)]
