"""Where a run writes: all outputs that its checkpoints cover."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from learnd.daemon.contracts import DeadLetters, Events, Output, Predictions
from learnd.daemon.foundation.shares import spending
from learnd.daemon.values import Call, Event, Rejection, Report


class Outputs:
    """The history, the dead letters, and the predictions if anybody wants them."""

    def __init__(
        self,
        history: Mapping[str, Events],
        dead_letters: Mapping[str, DeadLetters],
        predictions: Mapping[str, Predictions] | None = None,
    ) -> None:
        self._history = history
        self._dead_letters = dead_letters
        self._predictions = predictions or {}
        self.by_name: dict[str, Output] = {**dead_letters, **self._predictions, **history}
        """Each under the name that checkpoints know it by."""

    @spending("writing")
    def set_aside(self, rejections: Iterable[Rejection]) -> None:
        """Write dead letters."""
        for output in self._dead_letters.values():
            output.write(rejections)

    @spending("writing")
    def predicted(self, call: Call, report: Report, updates: int) -> None:
        """Write the predictions of a call, on a model that has had so many updates before it."""
        for output in self._predictions.values():
            output.write(call, report, updates)

    @spending("writing")
    def tell(self, events: Sequence[Event]) -> None:
        """Write lines of the history."""
        now = time.time()
        for output in self._history.values() if events else ():
            output.write(events, now)

    def close(self) -> None:
        """Release all of them; called once, whatever happened before."""
        for output in self.by_name.values():
            output.close()
