"""Finds out how a file writes its numbers: the mark of the fraction, that of the thousands, units beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.daemon.stream.decoding.texts import Texts
from learnd.daemon.stream.settings import SamplesSettings

USUAL_MISSING: tuple[str, ...] = SamplesSettings.model_fields["missing"].default

MAYBE_MISSING = frozenset(
    ("?", "N/A", "n/a", "na", "NULL", "Null", "none", "nil", "NAN", "Nan", "#NA", "<NA>", "n.a.", "k.A.", "--", ".")
)
"""Words that stand for no value if all others in their column are numbers, times, or yes and no."""

NEARLY_ALL = 0.8
"""The share of numbers, or times, in a column of which the others are taken for mistakes."""

# The mark of the fraction and that of the thousands, in the order in which they are tried.
_STYLES = ((",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
_COMMA_IS_FRACTION = ((",", None), (".", ","))
_COMMA_IS_THOUSANDS = ((".", ","), (",", None))

_WITH_UNIT = re.compile(
    r"(?P<before>[$€£¥₹₽])?\s*[+-]?[0-9.,][0-9.,' \u00a0\u202f]*"
    r"(?P<after>[$€£¥₹₽%‰]|°[CF]?|[^\W\d_]{1,4}(?:/[^\W\d_]{1,3})?)?"
)

_CODE = re.compile(r"0[0-9]+")  # a zip code, an article number


@dataclass(frozen=True, slots=True)
class Numerals:
    """How numbers are written that are text."""

    decimal: str = "."
    thousands: str | None = None
    units: tuple[str, ...] = ()

    @property
    def texts(self) -> Texts:
        missing = {*USUAL_MISSING, *MAYBE_MISSING}
        return Texts(missing, decimal=self.decimal, thousands=self.thousands, units=self.units)


def are_numbers(words: Iterable[str], texts: Texts) -> bool:
    """Whether words are numbers, at least one, and none is a code such as `04103`."""
    words = list(words)
    numbers = all(isinstance(texts.number(word), float) and not _CODE.fullmatch(word.strip()) for word in words)
    return bool(words) and numbers


def numerals_of(columns: Mapping[str, Sequence[Any]], delimiter: str) -> Numerals:
    """Return the one way of writing numbers that makes numbers of most columns; the plainest if several do."""
    plain = Numerals()
    found = [words for values in columns.values() if (words := _words(values, plain.texts))]
    units = tuple(sorted({unit for words in found if (unit := _unit(words)) is not None}))
    by_comma = _COMMA_IS_THOUSANDS if delimiter == "," else _COMMA_IS_FRACTION
    marks: Sequence[tuple[str, str | None]] = ((".", None), *by_comma, *_STYLES)
    styles = [Numerals(decimal, thousands, units) for decimal, thousands in marks]
    best = max(styles, key=lambda style: _count(found, style.texts))
    return best if _count(found, best.texts) > _count(found, plain.texts) else plain


def _words(values: Sequence[Any], texts: Texts) -> set[str]:
    """Return the different words of a column that may be numbers, if nearly all that are not missing may."""
    present = {value for value in values if isinstance(value, str) and not texts.means_missing(value)}
    able = {word for word in present if any(sign.isdigit() for sign in word)}
    return able if len(able) >= NEARLY_ALL * len(present) else set()


def _count(columns: Sequence[set[str]], texts: Texts) -> int:
    return sum(are_numbers(words, texts) for words in columns)


def _unit(words: set[str]) -> str | None:
    """Return the unit that stands beside each of these numbers, None if there is none or more than one."""
    units = set()
    for word in words:
        found = _WITH_UNIT.fullmatch(word.strip())
        units.add(found and (found["before"] or found["after"]))
        if len(units) > 1:
            return None
    return next(iter(units), None)
