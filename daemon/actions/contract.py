"""The contract of actions: their arguments, which are settings, and what they do. Rules and operators share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from learnd.daemon.contracts import Adaptable, Change
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Event, Facts, PhaseBegun

DONE = "done"
NOTHING = "nothing"  # there was nothing to do
REFUSED = "refused"  # a command that makes no sense, or cannot be carried out
GIVEN_UP = "given up"  # the daemon stops instead

COMMAND = "command"  # the word for a cause that is an operator's


class NothingToDoError(Exception):
    """Raised by an action that makes no sense now; the message says why."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an action is taken: a word for it, the sample count, and further data."""

    word: str
    samples: int
    data: Facts

    @classmethod
    def of(cls, event: Event) -> Cause:
        """Return an event as a cause: `drift.confirmed of error`, `score.plateau`."""
        word = f"drift.{event.data['level']} of {event.data['signal']}" if event.kind == "drift" else event.kind
        return cls(word, event.samples, dict(event.data))

    def __str__(self) -> str:
        return f"{self.word} at {self.samples:,} samples"


class Hands(Protocol):
    """What actions may use."""

    @property
    def learner(self) -> Adaptable: ...

    @property
    def live(self) -> bool:
        """Whether this happens now, and does not repeat what an earlier process did."""

    def begin_next_phase(self, cause: str) -> bool:
        """Begin the next training phase. Return False if there is none, or if this event has already begun one."""

    def roll_back(self, cause: Cause) -> str:
        """Roll back to the last good copy of the model, between two calls. Return the outcome in a word.

        Raises NothingToDoError if there is no copy.
        """

    def refit_standardization(self, cause: Cause) -> str:
        """Refit the statistics of the inputs. Return the outcome in a word.

        Raises NothingToDoError if a rule asks for it and a trial on the latest samples shows that it would not help.
        """

    def try_out(self, name: str, change: Change, samples: int) -> None:
        """Make a change to a copy of the model, which takes its place if it proves to be better within `samples`.

        Raises NothingToDoError if there is no copy, or if another change is on trial.
        """

    def save(self) -> None:
        """Save a checkpoint after this call, and keep it forever."""

    def pause(self, reason: str) -> None:
        """Pause training after this call."""

    def resume(self) -> bool:
        """Resume training after a pause, or after a rule ended it. Return False if it goes on anyway."""

    def stop(self, cause: Cause, *, restore_best: bool) -> None:
        """End the run after this call, and first return to the model that scored best, if that is asked for."""


class Action(Section):
    """The arguments of an action. The settings reference shows its docstring."""

    changes_model: ClassVar[bool] = False
    """Whether it changes the model between two updates, or a copy that may take its place."""

    between_calls: ClassVar[bool] = False
    """Whether it needs a position in the stream, which is known only between two calls."""

    of_rules: ClassVar[bool] = True
    """Whether a rule may name it."""

    of_operators: ClassVar[bool] = True
    """Whether an operator may ask for it."""

    @property
    def tries(self) -> str | None:
        """The name of another action that it carries out on a copy of the model."""
        return None

    def do(self, hands: Hands, cause: Cause) -> str:
        """Act. Return the outcome in a word, which becomes the label of a metric. Raises NothingToDoError."""
        raise NotImplementedError


class ModelAction(Action):
    """An action that changes the model between two updates, and that can be tried on a copy of it."""

    changes_model: ClassVar[bool] = True

    def change(self, learner: Adaptable, cause: Cause) -> PhaseBegun | None:
        """Change a model, whatever speaks against it. Return the phase that begins with it, if one does."""
        raise NotImplementedError
