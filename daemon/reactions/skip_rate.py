"""Whether many updates are skipped as not finite: a model that has diverged learns nothing more from its stream."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.errors import DataError
from learnd.daemon.foundation.counters import up_to_multiples
from learnd.daemon.values import Skip, State

BLOCK = 1000  # updates
_LIMIT = 0.2  # a share, as of rejected records


class SkipRate:
    """Counts updates in blocks of 1,000, so that nothing depends on how the stream is cut into calls."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start over, as after a rollback."""
        self._seen = self._skipped = 0
        self.too_high = False  # whether more of this block, or of the one before it, was skipped than the limit allows
        self.news = False  # whether that showed in this process: a restart goes on, since the stream may have changed

    def add(self, skipped: NDArray[np.uint8]) -> None:
        """Take in the `Skip` of each update."""
        for rows in up_to_multiples(self._seen, len(skipped), BLOCK):
            taken = skipped[rows]
            self._seen += len(taken)
            not_finite = int(np.count_nonzero(taken == Skip.NON_FINITE))
            self._skipped += not_finite
            over = self._skipped > _LIMIT * BLOCK
            self.news = self.news or (over and not_finite > 0)
            if over or self._seen == BLOCK:
                self.too_high = over
            if self._seen == BLOCK:
                self._seen = self._skipped = 0

    def state(self) -> State:
        return State(facts={"seen": self._seen, "skipped": self._skipped, "too_high": self.too_high})

    def restore(self, state: State) -> None:
        facts = state.facts
        self._seen, self._skipped, self.too_high = facts["seen"], facts["skipped"], facts["too_high"]


def hardly_learns(updates: str) -> DataError:
    """Return the error for a model that skips updates; `updates` says how many of how many."""
    return DataError(
        f"{updates} were skipped, since their loss, gradients or statistics were not finite: the model hardly learns. "
        "Their records are consumed and changed nothing, and no checkpoint of it is marked as good. Lower the learning "
        "rate or clip the gradients (train.optimizer); for a regression with large labels, use a preset, or end your "
        "model with learnd.RunningLabelScale. Then start from the beginning with a new --state directory."
    )
