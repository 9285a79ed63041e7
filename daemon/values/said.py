"""What is said with predictions beside their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values.arrays import Float32, Float64


@dataclass(frozen=True, slots=True)
class Said:
    """What is said with m predictions of one target; None if that is not asked for."""

    outputs: Float32  # (m, C): calibrated, if that is asked for; or (m, 1), the error of giving inputs back
    names: tuple[str, ...]  # of the classes, unless they are learnt
    finite: NDArray[np.bool_]  # (m,): if a prediction is not, nothing is said with it
    bounded: NDArray[np.bool_]  # (m,): whether there is an interval or a set, as there is none before the first label
    low: Float64 | None = None  # (m, O), of an interval
    high: Float64 | None = None
    members: NDArray[np.bool_] | None = None  # (m, C) of a set; of no and yes if the task is binary
    decided: NDArray[np.bool_] | None = None  # (m,)

    @classmethod
    def joined(cls, parts: Sequence[Said]) -> Said:
        """Return what all parts say, in this order. There must be at least one."""
        if len(parts) == 1:
            return parts[0]

        def of(name: str) -> Any:
            columns = [getattr(part, name) for part in parts]
            return None if columns[0] is None else np.concatenate(columns)

        whole = {name: of(name) for name in ("outputs", "finite", "bounded", "low", "high", "members", "decided")}
        return cls(names=parts[0].names, **whole)

    def rows(self, names: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield what is said with each prediction, by the key that it is written under, as JSON holds it.

        `names` are those of classes that are learnt.
        """
        named, columns = names or self.names, {}
        if self.low is not None and self.high is not None:
            pairs = np.stack((self.low, self.high), axis=2).tolist()
            columns["interval"] = _where(self.bounded, [each[0] if len(each) == 1 else each for each in pairs])
        if self.members is not None:
            columns["set"] = _where(
                self.bounded, [[named[index] for index in np.flatnonzero(row).tolist()] for row in self.members]
            )
        if self.decided is not None:
            columns["class"] = _where(self.finite, [named[index] for index in self.decided.astype(int).tolist()])
        for index in range(len(self.outputs)):
            yield {key: its[index] for key, its in columns.items()}


def said_rows(
    said: Mapping[str, Said], names: Sequence[str] = (), *, alone: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield what is said with each sample's predictions: of one that is not `alone`, by target under each key.

    `names` are those of classes that are learnt.
    """
    rows = {target: its.rows(names) for target, its in said.items()}
    for each in zip(*rows.values(), strict=True):
        if alone:
            yield each[0]
            continue
        keys = dict.fromkeys(key for its in each for key in its)
        yield {key: {target: its[key] for target, its in zip(rows, each, strict=True) if key in its} for key in keys}


def _where(known: NDArray[np.bool_], values: list[Any]) -> list[Any]:
    return [value if is_known else None for value, is_known in zip(values, known.tolist(), strict=True)]
