"""Stops the daemon when the stream has gone bad, before most of it is thrown away."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from learnd.daemon.errors import DataError
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Block, Fate, Rejection

_ENOUGH = 100  # records


class RejectRateSettings(Section):
    """How many records may be rejected."""

    harmless: ClassVar[Mapping[str, str]] = {
        "max_rate": "when a run ends, never what it learned until then",
        "window": "as max_rate",
    }
    live: ClassVar[Mapping[str, str]] = {
        "max_rate": "for the records that are read from then on",
        "window": "at once: of a longer window, no more is known than of the one before",
    }

    max_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Stop (exit code 65) when more than this share of the last `window` records was rejected."""

    window: PositiveInt = 1000
    """The number of records over which the share of rejected ones is taken."""


class RejectRate:
    """Counts rejected records among the last `window`, and in CSV lines. A rate of 1 never stops.

    Lines, because a stray quote makes one record of many: each line is as much of the stream as any other.
    """

    def __init__(self, max_rate: float, window: int) -> None:
        self._max_rate = max_rate
        self._window = window
        self._recent: deque[str | None] = deque(maxlen=window)  # why each was rejected; None if it was not
        self._rejected = 0
        self._seen = 0
        self._in_lines = False  # whether a record had more than one
        self._last: Rejection | None = None
        self._alike = max_rate < 1  # whether every record so far lacks the same field

    def limit(self, max_rate: float, window: int) -> None:
        """Judge the records that come by these limits; those of the last ones that the window has room for count."""
        self._max_rate, self._window = max_rate, window
        self._recent = deque(self._recent, maxlen=window)
        self._rejected = sum(reason is not None for reason in self._recent)
        self._alike = self._alike and max_rate < 1

    @property
    def lacking(self) -> Rejection | None:
        """The last record, if every record since the start lacks the same field: the settings may be wrong about it."""
        return self._last if self._alike else None

    def add(self, block: Block) -> None:
        """Take in a block. Raises DataError if the rate goes over its limit anywhere in it."""
        self._alike = self._alike and self._lacks_the_same(block)
        lines = block.lines or [1] * len(block)
        self._in_lines = self._in_lines or block.lines is not None
        self._seen += sum(lines)
        if block.rejections:
            self._last = block.rejections[-1]
        elif not self._rejected:
            self._recent.extend([None] * min(sum(lines), self._window))
            return
        reasons = (rejection.defect.reason for rejection in block.rejections)
        for fate, count in zip(block.fates.tolist(), lines, strict=True):
            self._take(next(reasons) if fate == Fate.REJECT else None, count)

    def _take(self, reason: str | None, lines: int) -> None:
        for _ in range(lines):
            if len(self._recent) == self._window:
                self._rejected -= self._recent[0] is not None
            self._recent.append(reason)
            self._rejected += reason is not None
            if reason is not None and self._rejected > self._max_rate * self._window:
                self._stop()

    def _lacks_the_same(self, block: Block) -> bool:
        first = self._last or next(iter(block.rejections), None)
        return len(block.rejections) == len(block) and all(
            rejection.defect.reason == "missing" and first is not None and rejection.defect == first.defect
            for rejection in block.rejections
        )

    def check_end(self, *, fresh: bool) -> None:
        """Judge a stream that ended before the window was full, unless it was too short. Raises DataError.

        A `fresh` stream, of which nothing was consumed before this start, is never too short if all of it is bad.
        """
        seen = len(self._recent)
        if (fresh and self._rejected == seen > 0) or (seen >= _ENOUGH and self._rejected > self._max_rate * seen):
            self._stop()

    def _stop(self) -> None:
        assert self._last is not None
        counts = Counter(reason for reason in self._recent if reason is not None)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common(4))
        what = "lines" if self._in_lines else "records"
        since = ", which are all since this start," if self._seen == len(self._recent) else ""
        last = self._last
        raise DataError(
            f"{self._rejected:,} of the last {len(self._recent):,} {what}{since} were rejected, over the limit of "
            f"{self._max_rate:.0%} (dead_letters.max_rate): {reasons}. The last one, {last.partition} at {last.start}: "
            f"{last.defect.detail}. What trained before is kept in the state directory; the rejected records did "
            "not train, and are in the dead letters. Correct the producer or `samples`, then start again: training "
            "continues after the rejected records. To train them as well, start from the beginning with a new --state "
            "directory."
        )
