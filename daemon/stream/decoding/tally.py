"""How often each field was without a value, and how often a record was rejected for it, in this process."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from learnd.daemon.stream.decoding.columns import Values
from learnd.daemon.values import Defect

_EVERY = 8  # to count all would take an eighth of the time of decoding
_AT = re.compile(r" at `\$\.([^`]+)`")
_LACKS = re.compile(r"required field `([^`]+)`")


class FieldTally:
    """Counts for those who look at a stream; nothing depends on them. Any thread may read them.

    A field that has a default and no value counts as `missing`, in the records that are `looked` at: every eighth of a
    batch, which is all of them on a slow stream. A record counts as `rejected` for the first of its fields that
    cannot be used.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        self.records = 0  # that were parsed
        self.looked = 0
        self.missing = dict.fromkeys(fields, 0)
        self.rejected = dict.fromkeys(self.missing, 0)

    def add_rejected(self, defects: Iterable[Defect]) -> None:
        """Count defects of fields."""
        for found in defects:
            field = _field_of(found.detail)
            if field in self.rejected:
                self.rejected[field] += 1

    def add_records(self, count: int) -> None:
        """Count the records of a batch that were parsed."""
        self.records += count
        self.looked += -(-count // _EVERY)

    def add_missing(self, field: str, values: Values) -> None:
        """Count the values that a field with a default has in these records."""
        looked = values[::_EVERY]
        if not isinstance(looked, np.ndarray):
            self.missing[field] += list(looked).count(None)
        elif looked.ndim == 1:  # there is no array of lists of which some are missing
            self.missing[field] += int(np.count_nonzero(np.isnan(looked)))

    def missing_shares(self) -> dict[str, float]:
        """Return the share of the records in which a field was missing, for those that ever were."""
        return {name: round(count / self.looked, 4) for name, count in self.missing.items() if count}

    def rejections(self) -> dict[str, int]:
        """Return how many records were rejected for a field, for those that ever were."""
        return {name: count for name, count in self.rejected.items() if count}


def _field_of(detail: str) -> str:
    """Return the field that a defect tells of: our own words begin with it, msgspec's have it in two places."""
    found = [match[1] for match in (_AT.search(detail), _LACKS.search(detail)) if match is not None]
    return ".".join(found) or detail.partition(": ")[0]
