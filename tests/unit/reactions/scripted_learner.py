"""A learner whose predictions the features hold, so that a test writes the errors that it wants."""

import numpy as np
from numpy.typing import NDArray

from learnd.daemon.values import Arrays, Call, Event, Facts, Float32, Report, Skip

_NEVER = 1 << 60


class ScriptedLearner:
    """A `contracts.Adaptable`. Columns of x: the prediction, and whether the update is skipped (1), or far off (2).

    Its weight tells the order of samples, and of what was done to it.
    """

    trainable_parameters = 1
    phase_ends_on: str | None = None

    def __init__(self, second_phase: int = _NEVER) -> None:
        """The second phase begins behind the update that reaches so many samples."""
        self._second_phase = second_phase
        self.info: dict[str, str] = {}
        self.weight = 0
        self.phase = 0
        self.seen = 0
        self._began: list[Event] = []
        self.done: list[list[object]] = []  # what was done to it, and behind how many samples

    def compile(self) -> None:
        pass

    def update(self, call: Call) -> Report:
        self.before = self.state()
        skipped = call.x[:, :, 1].max(axis=1).astype(np.uint8)
        for batch, skip in zip(call.x, skipped.tolist(), strict=True):
            self.seen += len(batch)
            if skip == Skip.NONE:
                self.weight = (self.weight * 31 + int(1 + batch[:, 0].sum())) % (1 << 61)
        if self.phase == 0 and self.seen >= self._second_phase:
            self._begin("samples", self._second_phase)
        loss = np.where(skipped == Skip.NON_FINITE, np.nan, 1).astype(np.float32)
        return Report(call.x[:, :, :1], loss, loss, skipped)

    def predict(self, x: NDArray[np.float32]) -> Float32:
        return np.full((len(x), 1), 0.5, np.float32)

    def metric_results(self) -> dict[str, float]:
        return {}

    def boost(self, factor: float, over: int) -> None:
        self._do("boost", factor, over)

    def slow_down(self, factor: float) -> None:
        self._do("slow_down", factor)

    def reset_moments(self) -> None:
        self._do("reset_moments")

    def refit_standardization(self) -> None:
        self._do("refit_standardization")

    def next_phase(self, cause: str) -> bool:
        self._do("next_phase")
        if self.phase == 1 or self._second_phase == _NEVER:
            return False
        self._begin(cause, self.seen)
        return True

    def _begin(self, cause: str, samples: int) -> None:
        self.phase = 1
        self._began.append(Event("phase", samples, {"number": 1, "cause": cause}))

    def take_events(self) -> list[Event]:
        events, self._began = self._began, []
        return events

    def _do(self, name: str, *arguments: float) -> None:
        self.done.append([name, self.seen, *arguments])
        self.weight = self.weight * 37 % (1 << 61)

    def undo(self) -> None:
        self.restore(*self.before)
        self._began = []

    def state(self) -> tuple[Arrays, Facts]:
        done = [list(entry) for entry in self.done]
        return {"weight": np.array([self.weight, self.seen])}, {"done": done, "phase": self.phase}

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        self.weight, self.seen = arrays["weight"].tolist()
        self.done = [list(entry) for entry in facts["done"]]
        self.phase = facts["phase"]
