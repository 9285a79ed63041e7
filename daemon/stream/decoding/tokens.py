"""Texts in a field: the words of each, as ids. Words are those that Keras' `TextVectorization` finds by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import not_utf8
from learnd.daemon.stream.decoding.categories import bucket
from learnd.daemon.stream.decoding.columns import InputReader, Values, cells_as_text
from learnd.daemon.stream.decoding.defects import Reason, defect, shown
from learnd.daemon.stream.decoding.memo import Memo
from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.values import Defect

PADDING, UNKNOWN = 0, 1
"""The id behind the last word of a text, and that of a word that is not in a vocabulary."""

_LOWER = bytes(range(256)).lower()  # of ASCII alone, as `tf.strings.lower` does it
_PUNCTUATION = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_MARK = b"\xef\xbb\xbf"  # with which some programs begin a file in UTF-8


def words_of(text: bytes, most: int = -1) -> list[bytes]:
    """Return the first words of a text in UTF-8: `most` of them, or all.

    Letters of ASCII become small, its punctuation goes, and its blanks separate; all else stays as it is.
    """
    words = text.translate(_LOWER, _PUNCTUATION).split(None, most)
    return words if most < 0 else words[:most]


def hashed(size: int) -> Callable[[bytes], int]:
    """Return what gives a word an id from 1 to `size`, by the hash of categories."""
    return lambda word: 1 + bucket(word, size)


def listed(words: Sequence[str]) -> Callable[[bytes], int]:
    """Return what gives a word the id of its place in a vocabulary, from 2 on, or `UNKNOWN`."""
    ids = {word.encode(): number for number, word in enumerate(words, start=UNKNOWN + 1)}
    return lambda word: ids.get(word, UNKNOWN)


class TokenReader(InputReader):
    """Texts of `length` words: what is longer is cut, what is shorter ends with `PADDING`."""

    json_type: Any = str

    def __init__(self, length: int, id_of: Callable[[bytes], int], texts: Texts, default: str | None) -> None:
        """`default` stands in for a text that is missing, or has no word."""
        self.default = default
        self._length = length
        self._ids = Memo(id_of)
        self._missing = texts.missing_category
        self._instead = None if default is None else words_of(default.encode(), length)

    def read_input(self, name: str, values: Values) -> tuple[NDArray[np.int32], dict[int, Defect]]:
        found = list(map(self._words, values))
        defects = {row: _defect(name, values[row]) for row, words in enumerate(found) if words is None}
        words = [each or [] for each in found]
        counts = np.fromiter(map(len, words), np.int64, len(words))
        ids = np.full((len(words), self._length), PADDING, np.int32)
        ids[np.arange(self._length) < counts[:, None]] = np.fromiter(
            map(self._ids.__getitem__, chain.from_iterable(words)), np.int32, int(counts.sum())
        )
        return ids, defects

    def from_text(self, cells: Sequence[str]) -> Values:
        return cells_as_text(cells)

    def _words(self, value: Any) -> list[bytes] | None:
        """Return the words of a value, or those that stand in for it; None if it cannot be used."""
        if isinstance(value, str):
            if self.default is not None and self._missing(value):
                return self._instead
            return words_of(value.encode("utf-8", "surrogatepass"), self._length) or self._instead
        if isinstance(value, bytes):
            text = value.removeprefix(_MARK)
            return None if not_utf8(text) else words_of(text, self._length) or self._instead
        is_null = value is None or value != value  # noqa: PLR0124  (NaN)
        return self._instead if is_null else None


def _defect(name: str, value: Any) -> Defect:
    """Say why a value cannot be used."""
    if value is None:
        return defect(Reason.NULL, f"{name}: null")
    if isinstance(value, bytes) and (why := not_utf8(value)):
        return defect(Reason.BAD_ENCODING, f"{name}: {why}")
    if isinstance(value, str | bytes):
        way = "give the feature a default, which stands in for such texts"
        return defect(Reason.MISSING, f"{name}: missing, since there is no word in {shown(value)}; {way}")
    return defect(Reason.WRONG_TYPE, f"{name}: expected text, got {shown(value)}")
