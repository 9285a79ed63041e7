"""Categories, booleans and listed values: each becomes an index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from learnd.daemon.stream.decoding.columns import BOOLEAN, NAN, SCALAR, Values, canonical, cells_as_text, with_default
from learnd.daemon.stream.decoding.defects import Reason, defect, missing_text, shown
from learnd.daemon.stream.decoding.memo import Memo
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect, Float64

_MOST_NAMED = 10  # of the listed values, in the message on a value that is not listed

TRUE_OR_FALSE: Mapping[str, float] = {
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), 0.0),
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), 1.0),
}


class CategoryReader:
    """Reads values as indices, from a list or a hash. Values repeat, so it keeps a cache."""

    width = 1

    def __init__(self, json_type: Any, default: Any, missing: Callable[[Any], bool]) -> None:
        """`missing` says whether a value is a text that stands for none."""
        self.json_type = json_type
        self.default = default
        self._missing = missing
        self._memo = Memo(self.index)

    def index(self, value: Any) -> float:
        """Return the index of one value; NaN if it has none."""
        raise NotImplementedError

    def _stands_for_default(self, value: Any) -> bool:
        return self.default is not None and self._missing(value)

    def read(self, values: Values) -> Float64:
        values = with_default(values, self.default)
        try:
            indices = np.fromiter(map(self._memo.__getitem__, values), np.float64, len(values))
        except TypeError:  # a list or a mapping, which cannot be hashed
            indices = np.fromiter(map(self.index, values), np.float64, len(values))
        return indices[:, None]

    def from_text(self, cells: Sequence[str]) -> Values:
        return cells_as_text(cells)

    def defect(self, name: str, value: Any) -> Defect:
        if value is None:
            return defect(Reason.NULL, f"{name}: null")
        if self._missing(value):
            return missing_text(name, value)
        return defect(Reason.WRONG_TYPE, f"{name}: expected text, a number or a boolean, got {shown(value)}")


class HashReader(CategoryReader):
    """The index of a value by its hash."""

    def __init__(self, size: int, texts: Texts, default: Any) -> None:
        super().__init__(SCALAR, default, texts.missing_category)
        self._size = size

    def index(self, value: Any) -> float:
        text = canonical(self.default if self._stands_for_default(value) else value)
        if text is None:
            return NAN
        return float(bucket(text.encode("utf-8", "surrogatepass"), self._size))


class ListedReader(CategoryReader):
    """The index of a listed value. All other values get the index `other`; without it, they are `unknown`."""

    def __init__(
        self,
        indices: Mapping[str, float],
        unknown: Reason,
        texts: Texts,
        *,
        other: float = NAN,
        default: Any = None,
    ) -> None:
        super().__init__(SCALAR, default, texts.missing_category)
        self._texts = texts
        self._indices = indices
        self._unknown = unknown
        self._other = other

    def index(self, value: Any) -> float:
        text = canonical(value)
        if text is None:
            return NAN
        for form in (text, text.strip(), _truth_word(text), canonical(self._texts.number(text))):
            if form is not None and form in self._indices:
                return self._indices[form]
        return self.index(self.default) if self._stands_for_default(value) and value != self.default else self._other

    def defect(self, name: str, value: Any) -> Defect:
        if canonical(value) is None or self._missing(value):
            return super().defect(name, value)
        known = ", ".join(islice(self._indices, _MOST_NAMED)) + (", …" if len(self._indices) > _MOST_NAMED else "")
        return defect(self._unknown, f"{name}: {shown(value)} is not one of {known}")


class AgainstReader(ListedReader):
    """1 for a value, 0 for any other."""

    def __init__(self, value: Any, texts: Texts) -> None:
        super().__init__(listed([value], first=1), Reason.UNKNOWN_LABEL, texts, other=0.0)

    def index(self, value: Any) -> float:
        index = super().index(value)
        return NAN if not index and self._missing(value) else index


class BooleanReader(ListedReader):
    """0 or 1, from these numbers, from true and false, or from the words for them in text."""

    def __init__(self, unknown: Reason, texts: Texts, default: Any = None) -> None:
        super().__init__(TRUE_OR_FALSE, unknown, texts, default=default)
        self.json_type = BOOLEAN
        self._missing = texts.means_missing

    def read(self, values: Values) -> Float64:
        if not isinstance(values, np.ndarray):
            return super().read(values)
        filled = np.asarray(with_default(values, self.default))
        return np.where(filled == 0, 0.0, np.where(filled == 1, 1.0, NAN))[:, None]  # -0 is 0


def bucket(data: bytes, size: int) -> int:
    """Return a number in [0, size) by a BLAKE2b hash, which is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") % size


def _truth_word(text: str) -> str | None:
    word = text.strip().lower()
    return word if word in TRUE_OR_FALSE else None


def listed(values: Sequence[Any], first: int = 0) -> dict[str, float]:
    """Return the index of each value by its canonical text; for true and false, also by the words for them."""
    indices: dict[str, float] = {}
    for index, value in enumerate(values, start=first):
        if isinstance(value, bool):
            indices.update((word, float(index)) for word, truth in TRUE_OR_FALSE.items() if truth == value)
        indices[canonical(value) or str(value)] = float(index)
    return indices
