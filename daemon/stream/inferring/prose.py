"""Tells free text from names, codes and categories, and how long it is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import chain
from typing import Any

from learnd.daemon.stream.decoding.tokens import words_of

_FEW = 20  # different values: as many are listed as categories
_LEAST_DIFFERENT = 0.5  # of all values: fewer are categories, or answers to choose from
_LEAST_WORDS = 4  # in most of the values: fewer are names
_LEAST_SMALL = 0.5  # of the words: of names and titles most begin with a capital, and codes have digits
_MARKS = ".,;:!?\"'()"

_SHORTEST, _LONGEST = 8, 512
_COVERED = 0.95  # of the texts are not cut
_FEWEST_IDS, _MOST_IDS = 1 << 10, 1 << 14
_ROOM = 2  # ids for each different word that was seen


def is_prose(values: Sequence[Any]) -> bool:
    """Whether these are texts as people write them: many different ones, of several words, most of them in small
    letters.

    It needs blanks between words, and small letters at their beginning: other scripts and headlines are not told.
    """
    if not all(isinstance(value, str) for value in values):
        return False
    different = set(values)
    if len(different) <= max(_FEW, _LEAST_DIFFERENT * len(values)):
        return False
    words = [text.split() for text in different]
    if statistics.median_low(map(len, words)) < _LEAST_WORDS:
        return False
    small = sum(map(_is_small, chain.from_iterable(words)))
    return small >= _LEAST_SMALL * sum(map(len, words))


def _is_small(word: str) -> bool:
    letters = word.strip(_MARKS)
    return letters[:1].islower() and letters.replace("'", "").replace("-", "").isalpha()


def of_several_words(values: Sequence[Any]) -> bool:
    """Whether most of these values are texts of several words."""
    return statistics.median_low(len(str(value).split()) for value in values) > 1


def is_of_words(text: str) -> bool:
    return bool(words_of(_as_bytes(text), 1))


def text_form(texts: Sequence[str]) -> str:
    """Return the form of a feature of such texts in YAML."""
    words = [words_of(_as_bytes(text)) for text in texts]
    lengths = sorted(map(len, words))
    length = lengths[int(_COVERED * (len(lengths) - 1))]
    ids = _ROOM * len(set(chain.from_iterable(words)))
    return f"{{length: {_power(length, _SHORTEST, _LONGEST)}, hash: {_power(ids, _FEWEST_IDS, _MOST_IDS)}}}"


def _power(least: int, lowest: int, highest: int) -> int:
    """Return the next power of two within limits that are some."""
    return min(max(1 << max(least - 1, 0).bit_length(), lowest), highest)


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
