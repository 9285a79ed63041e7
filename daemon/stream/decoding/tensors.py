"""Lists in lists: tensors whose elements are read as values of their own, and one-hot vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from learnd.daemon.stream.decoding.columns import NAN, ColumnReader, Values, finite_as_float32
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.decoding.vectors import VectorReader
from learnd.daemon.values import Defect, Float64


class TensorReader:
    """Nested lists of a shape, or one list of all elements, row by row. `elements` reads each of them."""

    default = None
    json_type: Any = Any  # lists of other shapes are for the defect to tell

    def __init__(self, shape: Sequence[int], elements: ColumnReader, texts: Texts) -> None:
        self.width = math.prod(shape)
        self._shape, self._elements, self._texts = tuple(shape), elements, texts

    def read(self, values: Values) -> Float64:
        tensors = list(map(self._flat, values))
        good = [tensor is not None for tensor in tensors]
        table = np.full((len(tensors), self.width), NAN)
        if any(good):
            read = self._elements.read(list(chain.from_iterable(filter(None, tensors))))
            table[good] = read.reshape(-1, self.width)
        return table

    def from_text(self, cells: Sequence[str]) -> Values:
        return list(map(self._from_text, cells))

    def _from_text(self, cell: str) -> Any:
        """Return the lists of JSON, or words separated by spaces, as cells of their own."""
        if self._texts.means_missing(cell):
            return None
        if not cell.lstrip().startswith("["):
            words = self._elements.from_text(cell.split())
            return words.tolist() if isinstance(words, np.ndarray) else list(words)
        try:
            return msgspec.json.decode(cell)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return cell

    def defect(self, name: str, value: Any) -> Defect:
        expected = f"{name}: expected a tensor of shape {list(self._shape)}"
        if value is None:
            return defect(Reason.NULL, f"{expected}, got null")
        if not isinstance(value, list):
            return defect(Reason.WRONG_TYPE, f"{expected}, got {shown(value)}")
        if (tensor := self._flat(value)) is None:
            return defect(Reason.WRONG_LENGTH, f"{expected}, got {_described(value)}")
        bad = next(i for i, element in enumerate(tensor) if not self._is_sound(element))
        place = np.unravel_index(bad, self._shape)
        return self._elements.defect(name + "".join(f"[{index}]" for index in place), tensor[bad])

    def _flat(self, value: Any) -> list[Any] | None:
        """Return the elements row by row; None if they do not have the shape."""
        if type(value) is not list:
            return None
        nested = self._nested(value)
        if nested is None and len(value) == self.width and list not in map(type, value):
            return value
        return nested

    def _nested(self, value: list[Any]) -> list[Any] | None:
        level = [value]
        for size in self._shape:
            if not all(type(part) is list and len(part) == size for part in level):
                return None
            level = list(chain.from_iterable(level))
        return level

    def _is_sound(self, element: Any) -> bool:
        return bool(finite_as_float32(self._elements.read([element])).all())


class OneHotReader:
    """The index of the 1 in a list of `size` zeros and ones."""

    width = 1
    default = None
    json_type: Any = list[float]

    def __init__(self, size: int, texts: Texts) -> None:
        self._vectors = VectorReader(size, texts)

    def read(self, values: Values) -> Float64:
        vectors = self._vectors.read(values)
        one_hot = ((vectors == 0) | (vectors == 1)).all(axis=1) & (vectors.sum(axis=1) == 1)
        return np.where(one_hot, vectors.argmax(axis=1), NAN)[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return self._vectors.from_text(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if not finite_as_float32(self._vectors.read([value])).all():
            return self._vectors.defect(name, value)
        return defect(Reason.UNKNOWN_LABEL, f"{name}: expected zeros and exactly one 1, got {shown(value)}")


def _described(value: list[Any]) -> str:
    """Return what shape nested lists have."""
    shape, level = [], value
    while True:
        shape.append(len(level))
        sizes = {len(part) if isinstance(part, list) else None for part in level}
        if sizes <= {None}:
            return f"one of shape {shape}"
        if len(sizes) > 1:
            return f"lists of different lengths, the first of which is {shown(level[0])}"
        level = level[0]
