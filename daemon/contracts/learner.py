"""Parts that have a state, and the model that is updated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from learnd.daemon.values import Arrays, Call, Event, Facts, PhaseBegun, Report, Samples, State


class Stateful(Protocol):
    """A part whose later behaviour depends on its state alone. The state depends on the stream, but not on how the
    stream was cut into calls.
    """

    def state(self) -> State:
        """Return a copy. The part may go on while the copy is written: it never changes it."""

    def restore(self, state: State) -> None:
        """Continue from a state. Raises StateMismatchError, and changes nothing, if it does not fit this part."""


class Learner(Stateful, Protocol):
    """A model that is updated call by call. Its state must hold everything that influences an update."""

    @property
    def trainable_parameters(self) -> int: ...

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""

    @property
    def info(self) -> Mapping[str, str]:
        """What the model is, in words."""

    @property
    def changes(self) -> Sequence[str]:
        """What of the model is not as it was when the restored state was made, though the state fits."""

    def metric_results(self) -> dict[str, float]:
        """Return the scores that the learner itself keeps, over every prediction so far."""

    def shares(self) -> dict[str, float]:
        """Return the share that each member of a mixture has in its predictions, by name; empty if it is none."""

    def memory(self) -> Facts:
        """Return how many samples of each class a memory of the stream has (`held`), and how many trained again so far
        (`replayed`); empty without one.
        """

    def compile(self) -> None:
        """Compile now, so that the next update need not wait for it. Raises ModelError, StateMismatchError."""

    def update(self, call: Call) -> Report:
        """Run the updates of a call, if it has any. Samples are predicted before the update on them."""

    def predict(self, inputs: Arrays) -> Arrays:
        """Return the outputs (m, C) of each target for inputs (m, ...), with the current weights, in inference mode."""


class Adaptable(Learner, Protocol):
    """A learner that actions can change between two updates. What they change is part of its state."""

    def undo(self) -> None:
        """Return to the state before the last `update`. This works once per update."""

    def boost(self, factor: float, over: int) -> None:
        """Multiply the learning rate by `factor`, which falls linearly back to 1 during the next `over` samples."""

    def slow_down(self, factor: float) -> None:
        """Multiply the learning rate by `factor` permanently."""

    def reset_moments(self) -> None:
        """Reset the optimizer's moments, which it has gathered from earlier gradients."""

    def refit_standardization(self) -> None:
        """Let the running statistics of the inputs adapt quickly again, as at the start."""

    @property
    def trial_samples(self) -> int:
        """How many samples `refit_helps` needs."""

    def refit_helps(self, recent: Samples) -> bool:
        """Whether a refit would clearly have helped with the `trial_samples` latest samples. Changes nothing."""

    @property
    def phase(self) -> int:
        """The number of the current training phase, from 0."""

    @property
    def phase_ends_on(self) -> str | None:
        """What ends the phase: `samples` (which the learner counts itself), `plateau`, `drift` or `command`."""

    def next_phase(self, cause: str, samples: int) -> PhaseBegun | None:
        """Begin the next phase after `samples` samples of the stream; None, and nothing changes, if there is none."""

    def phase_from(self, cause: str, samples: int) -> PhaseBegun:
        """Return the current phase as one that begins after `samples` samples of the stream."""


class Contender(Adaptable, Protocol):
    """A learner of a Keras model, which can be shown and published. Several can train on the same stream."""

    @property
    def max_updates(self) -> int:
        """The most updates in one compiled call; a longer call is trained in pieces."""

    @property
    def base_learning_rate(self) -> float:
        """The learning rate of the next update before the factors of warm-up, rules and rollbacks."""

    def fix_learning_rate(self, rate: float) -> None:
        """Set the base of the learning rate, whatever the settings say, until a phase begins or they say another."""

    @property
    def traces(self) -> int:
        """The number of call lengths compiled so far."""

    @property
    def served_otherwise(self) -> tuple[str, str] | None:
        """How `predict` predicts otherwise than `update` does, such as "without the last labels", and the way out: what
        is learnt of the predictions in the stream does not hold of others then. None if both predict alike.
        """

    @property
    def model(self) -> Any:
        """The Keras model."""

    def export(self, path: Path) -> list[str]:
        """Write the model in the format of the path's ending, and return each layer that needs more than Keras.

        Raises OSError, ModelError.
        """


Change: TypeAlias = Callable[[Adaptable], PhaseBegun | None]
"""What is done to a model. It returns the phase that begins with it, if one does."""


class Contested(Adaptable, Protocol):
    """A learner whose place a changed copy of it can take."""

    def try_out(self, name: str, change: Change, samples: int) -> str | None:
        """Make a change to a copy of the model, which has `samples` to prove that it is better.

        Return why that cannot be; None if the trial has begun.
        """

    def go_back(self, state: State, samples: int) -> Sequence[Event]:
        """Continue from an earlier state, behind `samples` samples of the stream. Return what that takes back of the
        decisions between models, and what it decides.
        """
