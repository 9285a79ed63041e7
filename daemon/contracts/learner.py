"""What has a state, and what is updated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from learnd.daemon.values import Arrays, Call, PhaseBegun, Report, State


class Stateful(Protocol):
    """A part whose later behaviour is a function of its state. The state is a function of the stream, however the
    stream was cut into calls.
    """

    def state(self) -> State:
        """Return a copy: the part goes on while it is written, and changes nothing in it."""

    def restore(self, state: State) -> None:
        """Go on from a state. Raises StateMismatchError, and changes nothing, if it is not one of this part's."""


class Learner(Stateful, Protocol):
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

    def predict(self, inputs: Arrays) -> Arrays:
        """Return outputs (m, C) of the current weights for each target, of inputs (m, ...), in inference mode."""


class Adaptable(Learner, Protocol):
    """A learner that actions can change, between two updates. What they change is part of its state."""

    def undo(self) -> None:
        """Take the last `update` back, once: be as before it."""

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which falls back to 1 linearly over so many samples."""

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` for good."""

    def reset_moments(self) -> None:
        """Forget what the optimizer has gathered of earlier gradients."""

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs learn anew, quickly."""

    @property
    def phase(self) -> int:
        """The number of the phase of the training, from 0."""

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples`, which the learner counts itself, `plateau`, `drift` or `command`."""

    def next_phase(self, cause: str, samples: int) -> PhaseBegun | None:
        """Begin the next phase behind so many samples of the stream; None, and nothing changes, if there is none."""
