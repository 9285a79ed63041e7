"""Lists of numbers and lists of labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np

from learnd.daemon.stream.decoding.columns import LARGEST_FLOAT32, LISTS, NAN, Values
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.numbers import as_number, as_numbers, number_defect
from learnd.daemon.stream.decoding.texts import Texts, number_from_text
from learnd.daemon.values import Defect, Float64


class VectorReader:
    """A list of exactly `width` numbers."""

    def __init__(self, width: int, texts: Texts, default: Sequence[float] | None = None) -> None:
        self.width = width
        self._texts = texts
        self.json_type: Any = Annotated[list[float], msgspec.Meta(min_length=width, max_length=width)]
        self.default = None if default is None else list(default)

    def read(self, values: Values) -> Float64:
        if isinstance(values, np.ndarray):
            return values if values.shape[1] == self.width else np.full((len(values), self.width), NAN)
        if self.default is not None:
            values = [self.default if value is None else value for value in values]
        if not (set(map(type, values)) <= LISTS and set(map(len, values)) <= {self.width}):
            useless = [NAN] * self.width
            values = [v if type(v) is list and len(v) == self.width else useless for v in values]
        return as_numbers(list(chain.from_iterable(values))).reshape(-1, self.width)

    def from_text(self, cells: Sequence[str]) -> Values:
        return list(map(self._list_from_text, cells))

    def _list_from_text(self, cell: str) -> Any:
        if self._texts.means_missing(cell):
            return None
        if not cell.lstrip().startswith("["):
            return list(map(self._texts.number, cell.split()))
        try:
            return msgspec.json.decode(cell)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return cell

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a list of {self.width} numbers, got null")
        if not isinstance(value, list):
            return defect(Reason.WRONG_TYPE, f"{name}: expected a list of {self.width} numbers, got {shown(value)}")
        if len(value) != self.width:
            return defect(Reason.WRONG_LENGTH, f"{name}: expected {self.width} numbers, got {len(value)}")
        bad = next(i for i, number in enumerate(value) if not abs(as_number(number)) <= LARGEST_FLOAT32)
        return number_defect(f"{name}[{bad}]", value[bad], "a number", self._texts)


class LabelsReader:
    """Zeros and ones for several labels, from a list of the names that apply or a list with a zero or one for each."""

    default = None
    json_type: Any = list[str | float | bool]

    def __init__(self, names: Sequence[str]) -> None:
        self.width = len(names)
        self._indices = {name: index for index, name in enumerate(names)}

    def read(self, values: Values) -> Float64:
        rows = np.full((len(values), self.width), NAN)
        for row, value in zip(rows, values, strict=True):
            self._fill(row, value)
        return rows

    def _fill(self, row: Float64, value: Any) -> None:
        if not isinstance(value, list):
            return
        if all(isinstance(item, str) and item in self._indices for item in value):
            row[:] = 0
            row[[self._indices[item] for item in value]] = 1
        elif len(value) == self.width and all(isinstance(item, int | float) and item in (0, 1) for item in value):
            row[:] = value

    def from_text(self, cells: Sequence[str]) -> Values:
        return list(map(self._list_from_text, cells))

    def _list_from_text(self, cell: str) -> Any:
        items = [item.strip() for item in re.split(r"[|;]", cell.strip().removeprefix("[").removesuffix("]"))]
        numbers = [number_from_text(item) for item in items]
        return numbers if all(number in (0, 1) for number in numbers) else [item for item in items if item]

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: expected a list of labels, got null")
        if not isinstance(value, list):
            return defect(Reason.WRONG_TYPE, f"{name}: expected a list of labels, got {shown(value)}")
        if all(isinstance(item, int | float) for item in value) and len(value) != self.width:
            return defect(Reason.WRONG_LENGTH, f"{name}: expected {self.width} zeros and ones, got {len(value)}")
        return defect(Reason.UNKNOWN_LABEL, f"{name}: {shown(value)} holds an item that is not a label")
