"""What an action is: its arguments, which are settings, and what it does. Rules and operators share them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from learnd.daemon.contracts import Adaptable
from learnd.daemon.foundation.section import Section
from learnd.daemon.values import Event, Facts

DONE = "done"


class NothingToDoError(Exception):
    """Raised by an action that makes no sense now; it says why."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an action is taken: a word for it, the samples that were trained by then, and what is known about it."""

    word: str
    samples: int
    data: Facts

    @classmethod
    def of(cls, event: Event) -> Cause:
        """Return the cause that an event is: `drift.confirmed of error`, `score.plateau`."""
        word = f"drift.{event.data['level']} of {event.data['signal']}" if event.kind == "drift" else event.kind
        return cls(word, event.samples, dict(event.data))

    def __str__(self) -> str:
        return f"{self.word} at {self.samples:,} samples"


class Hands(Protocol):
    """What an action may reach."""

    @property
    def learner(self) -> Adaptable: ...

    def begin_next_phase(self, cause: str) -> bool:
        """Begin the next phase of the training; False if there is none, or one has begun on this occasion already."""

    def roll_back(self, cause: Cause) -> str:
        """Go back to the last good copy of the model, between two calls; return what became of it.

        Raises NothingToDoError if there is none.
        """

    def save(self) -> None:
        """Save a checkpoint behind this call, and keep it for good."""

    def pause(self, reason: str) -> None:
        """Train nothing behind this call."""

    def resume(self) -> bool:
        """Train again; False if training is not paused."""


class Action(Section):
    """The arguments of an action. Its docstring says in the settings reference what it does."""

    changes_model: ClassVar[bool] = False
    """Whether it changes the model between two updates."""

    between_calls: ClassVar[bool] = False
    """Whether it needs a position in the stream, which there is between two calls alone."""

    of_rules: ClassVar[bool] = True
    """Whether a rule may name it."""

    def do(self, hands: Hands, cause: Cause) -> str:
        """Act, and return what became of it in a word: it labels a metric. Raises NothingToDoError."""
        raise NotImplementedError
