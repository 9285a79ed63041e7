"""The weight of a sample in the loss: a field, an expression over fields, or 1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.stream.decoding.categories import AgainstReader
from learnd.daemon.stream.decoding.columns import ColumnReader, finite_as_float32
from learnd.daemon.stream.decoding.defects import Reason, defect
from learnd.daemon.stream.decoding.expressions import Expression
from learnd.daemon.stream.decoding.numbers import NumberReader, WeightReader
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect, Float64


class Weights:
    """Reads the fields that a weight depends on, and computes it."""

    def __init__(self, weight: str | Expression | None) -> None:
        """`weight` is the name of a field, or an expression."""
        self._weight = weight

    def readers(self, texts: Texts) -> Iterator[tuple[str, ColumnReader]]:
        """Yield each field to read, and its reader, which fills one column."""
        if isinstance(self._weight, str):
            yield self._weight, WeightReader(texts)
        elif self._weight is not None:
            for operand in self._weight.operands:
                is_number = operand.text is None
                yield operand.field, NumberReader(texts) if is_number else AgainstReader(operand.text, texts)

    @property
    def columns(self) -> int:
        """How many columns the readers fill."""
        return len(self._weight.operands) if isinstance(self._weight, Expression) else int(self._weight is not None)

    def of(self, columns: Float64) -> Float64:
        """Return the weights (n,) from the columns that the readers filled."""
        if isinstance(self._weight, Expression):
            return self._weight.of(columns)
        return np.ones(len(columns)) if self._weight is None else columns[:, 0]

    def defect(self, weight: float) -> Defect:
        """Say what is wrong with a number that is not `usable`."""
        text = self._weight.text if isinstance(self._weight, Expression) else self._weight
        reason = Reason.OUT_OF_RANGE if weight < 0 else Reason.OVERFLOW if np.isfinite(weight) else Reason.NOT_FINITE
        return defect(reason, f"samples.weight: {text} is {weight:g}, but a weight is a finite number of 0 or more")


def usable(weights: Float64) -> NDArray[np.bool_]:
    """Return whether each of the numbers (n,) can be a weight."""
    return finite_as_float32(weights) & (weights >= 0)
