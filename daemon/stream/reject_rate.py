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

    max_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Stop (exit code 65) when more than this share of the last `window` records was rejected."""

    window: PositiveInt = 1000
    """The number of records over which the share of rejected ones is taken."""


class RejectRate:
    """Counts rejected records among the last `window`. A rate of 1 never stops."""

    def __init__(self, max_rate: float, window: int) -> None:
        self._max_rate = max_rate
        self._window = window
        self._recent: deque[bool] = deque(maxlen=window)
        self._rejected = 0
        self._reasons: Counter[str] = Counter()
        self._last: Rejection | None = None
        self._alike = max_rate < 1  # whether every record so far lacks the same field

    @property
    def lacking(self) -> Rejection | None:
        """The last record, if every record since the start lacks the same field: the settings may be wrong about it."""
        return self._last if self._alike else None

    def add(self, block: Block) -> None:
        """Take in a block. Raises DataError if the rate goes over its limit anywhere in it."""
        self._alike = self._alike and self._lacks_the_same(block)
        if block.rejections:
            self._last = block.rejections[-1]
            self._reasons.update(rejection.defect.reason for rejection in block.rejections)
        elif not self._rejected:
            self._recent.extend([False] * min(len(block), self._window))
            return
        for rejected in (block.fates == Fate.REJECT).tolist():
            if len(self._recent) == self._window:
                self._rejected -= self._recent[0]
            self._recent.append(rejected)
            self._rejected += rejected
            if rejected and self._rejected > self._max_rate * self._window:
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
        seen = ", ".join(f"{reason} {count:,}" for reason, count in self._reasons.most_common(4))
        last = self._last
        raise DataError(
            f"{self._rejected:,} of the last {len(self._recent):,} records were rejected, over the limit of "
            f"{self._max_rate:.0%} (dead_letters.max_rate). Rejected since the start: {seen}. The last one, "
            f"{last.partition} at {last.start}: {last.defect.detail}. What trained before is kept in the state "
            "directory; the rejected records did not train, and are in the dead letters. Correct the producer or "
            "`samples`, then start again: training continues after the rejected records. To train them as well, start "
            "from the beginning with a new --state directory."
        )
