"""What has a state, and what is updated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from learnd.daemon.values import (
    Arrays,
    Call,
    Event,
    Facts,
    Float32,
    Report,
)


class Stateful(Protocol):
    """A part whose state is in the checkpoint. The state is a function of the stream, however it was cut into calls."""

    def state(self) -> tuple[Arrays, Facts]:
        """Return copies: the loop goes on while they are written."""

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take over a state. Raises StateMismatchError where it is not one of this part's."""


class Learner(Protocol):
    """A model that is updated call by call. Must never keep anything that influences an update out of its state."""

    @property
    def trainable_parameters(self) -> int: ...

    @property
    def info(self) -> Mapping[str, str]:
        """Return what the model is, in words."""

    def metric_results(self) -> dict[str, float]:
        """Return what scores the learner keeps itself, over every prediction so far."""

    def compile(self) -> None:
        """Do now what the next update would otherwise wait for. Raises ModelError, StateMismatchError."""

    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any, each after the prediction of its samples."""

    def predict(self, x: NDArray[Any]) -> Float32:
        """Return outputs (m, C) of the current weights for features (m, ...), in inference mode."""

    def state(self) -> tuple[Arrays, Facts]: ...

    def restore(self, arrays: Arrays, facts: Facts) -> None: ...


class Adaptable(Learner, Protocol):
    """A learner that reactions can change, between two updates. What they change is part of its state."""

    def undo(self) -> None:
        """Take the last `update` back, once: be as before it."""

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which falls back to 1 linearly over so many samples."""

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` for good."""

    def reset_moments(self) -> None:
        """Forget what the optimizer has gathered of earlier gradients."""

    @property
    def phase(self) -> int:
        """The number of the phase of the training, from 0."""

    def next_phase(self, cause: str) -> bool:
        """Begin the next phase of the training; False, and nothing changes, where there is none."""

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples`, which the learner counts itself, `plateau`, `drift` or `command`."""

    def take_events(self) -> list[Event]:
        """Return the phases that began since this was last asked, by the samples that it has counted itself."""

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs learn anew, quickly."""
