"""The state of control: whether training is paused, and which commands were carried out."""

from __future__ import annotations

from collections import deque

import structlog

from learnd.daemon.values import Command, State

log = structlog.get_logger()

_MOST_REMEMBERED = 1_000  # commands


class ControlState:
    """A `contracts.Stateful`. A pause outlives the process: it is part of the checkpoint."""

    def __init__(self) -> None:
        self.paused: str | None = None  # why
        self._obeyed: deque[str] = deque(maxlen=_MOST_REMEMBERED)

    def pause(self, reason: str) -> None:
        """Pause training. If it is paused already, the first reason stays."""
        if self.paused is None:
            self.paused = reason
            self._tell_pause()

    def resume(self) -> bool:
        """Resume training. Return False if it is not paused."""
        was_paused, self.paused = self.paused is not None, None
        return was_paused

    def obeyed(self, command: Command) -> None:
        """Remember that a command was carried out."""
        self._obeyed.append(command.id)

    def has_obeyed(self, command: Command) -> bool:
        """Whether a command with the same id was carried out already."""
        return command.id in self._obeyed

    def state(self) -> State:
        return State(facts={"paused": self.paused, "obeyed": list(self._obeyed)})

    def restore(self, state: State) -> None:
        self.paused = state.facts["paused"]
        if self.paused is not None:
            self._tell_pause()  # a daemon that starts paused would seem to hang
        self._obeyed = deque(state.facts["obeyed"], _MOST_REMEMBERED)

    def _tell_pause(self) -> None:
        log.warning("paused", reason=self.paused, action="learnd ctl DIR resume")
